/** What `tetherfs collective run` is told. */
import type { Places } from './places.ts';

export interface MemberOptions {
  places: Places;
  /** Its name; that of the machine when it is not said. */
  name?: string | undefined;
  /** Other names by which nodes and people call it: for its certificate. */
  names: readonly string[];
  /** Addresses that are listened on; all when none is said. */
  addresses: readonly string[];
  /** 0: not at all. */
  httpsPort: number;
  httpPort: number;
  /** A Unix socket instead of both, behind a proxy. */
  socket?: string | undefined;
  /** Who may connect to it, besides us; everybody when nobody is named. */
  socketGroup?: number | undefined;
  grants: boolean;
  discovery: boolean;
  /** `ADDRESS:PORT` of the metrics. */
  metrics?: string | undefined;
}
