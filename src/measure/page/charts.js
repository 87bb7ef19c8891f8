/**
 * Draws the charts of the page, in the browser: embedded as it is, behind uPlot. The data is in the page as JSON; colours are its style's.
 */
(() => {
  /** @type {import('./chart-data.ts').Chart[]} */
  const charts = JSON.parse(document.getElementById('charts')?.textContent ?? '[]');
  const dashes = [[], [8, 4], [2, 3], [12, 3, 2, 3], [5, 2], [1, 2]];
  const height = 280;
  /** @type {uPlot[]} */
  let drawn = [];

  /** @param {string} name */
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  /**
   * @param {import('./chart-data.ts').Chart} chart
   * @param {Element} place
   */
  function draw({ title, x, y, lines, data }, place) {
    const axis = {
      stroke: colour('--ink'),
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { stroke: colour('--grid'), width: 1 },
    };
    /** @type {uPlot.Options} */
    const options = {
      title,
      width: Math.max(260, place.clientWidth),
      height,
      scales: {
        x: { time: false, distr: x.log ? 3 : 1 },
        y: { range: (_, __, most) => [0, y.most ?? (most > 0 ? most * 1.05 : 1)] },
      },
      axes: [
        { ...axis, label: x.label },
        { ...axis, label: y.label },
      ],
      series: [
        { label: x.label },
        ...lines.map(({ name, number }, index) => ({
          label: name,
          stroke: colour(`--line-${number % 8}`),
          dash: dashes[number % dashes.length] ?? [],
          width: 2,
          // One alone makes no line.
          points: { show: (data[index + 1]?.filter((value) => value !== null).length ?? 0) < 2 },
        })),
      ],
    };
    place.replaceChildren();
    drawn.push(
      new uPlot(
        options,
        /** @type {uPlot.AlignedData} */ (/** @type {unknown} */ (data)),
        /** @type {HTMLElement} */ (place),
      ),
    );
  }

  function drawAll() {
    for (const chart of drawn) chart.destroy();
    drawn = [];
    document.querySelectorAll('.chart').forEach((place, index) => {
      const chart = charts[index];
      if (chart !== undefined) draw(chart, place);
    });
    document.documentElement.dataset['drawn'] = String(drawn.length);
  }

  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  // Paper is white, and of another width.
  matchMedia('print').addEventListener('change', drawAll);
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    drawAll();
  });
})();
