/** How long the tests against hostile and many peers are: short in `npm test`, as the issue of them has it in `npm run test:collective`. */
export const isLong = process.env['TETHERFS_TEST_LONG'] === '1';

/** So many, of something. */
export const many = (short: number, long: number) => (isLong ? long : short);
