/** What a member counts, for Prometheus. docs/collective.md lists it. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export class CollectiveMetrics {
  readonly registry = new Registry();
  readonly requests = new Counter({
    name: 'tetherfs_collective_requests_total',
    help: 'HTTP requests answered, by route and status',
    labelNames: ['route', 'status'],
    registers: [this.registry],
  });
  readonly requestSeconds = new Histogram({
    name: 'tetherfs_collective_request_seconds',
    help: 'Time to answer a request of a node, by route',
    labelNames: ['route'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers: [this.registry],
  });
  readonly grants = new Counter({
    name: 'tetherfs_collective_grants_total',
    help: 'Connections of nodes that asked for a key, by how they ended: granted, refused, broken',
    labelNames: ['result'],
    registers: [this.registry],
  });
  readonly discoveries = new Counter({
    name: 'tetherfs_collective_discovery_answers_total',
    help: 'Nodes that were told of this member',
    registers: [this.registry],
  });
  readonly keysPromoted = new Counter({
    name: 'tetherfs_collective_keys_promoted_total',
    help: 'Granted keys that were used for the first time',
    registers: [this.registry],
  });
  readonly nodes: Gauge;

  /** @param count of the nodes that there are. */
  constructor(count: () => Promise<number>) {
    this.nodes = new Gauge({
      name: 'tetherfs_collective_nodes',
      help: 'Nodes of the site',
      registers: [this.registry],
      async collect() {
        this.set(await count());
      },
    });
  }
}
