/** The configuration text of one member's nginx. */
import { join } from 'node:path';
import type { ServerCertificate } from './certificates.ts';

export interface NginxOptions {
  /** The address to listen on, e.g. 127.0.0.11: each member has its own. */
  address: string;
  /** Further ones, as nginx writes them, e.g. `[::]:80`. */
  alsoListen?: readonly string[];
  /** The directory served at /confluent-public/. */
  publicDir: string;
  /** 0 for none; 80 unless said otherwise. */
  httpPort?: number;
  /** 443 unless said otherwise; only with a certificate. */
  httpsPort?: number;
  certificate?: ServerCertificate;
  /** Extra directives of the location /confluent-public/, e.g. `limit_rate 1m;` or `return 503;`. */
  location?: string;
  /** Extra directives of the server. */
  server?: string;
  workers?: number;
  /** Words to put before the command, e.g. `nsenter --net=/run/netns/m1`. It must exec what follows. */
  launcher?: readonly string[];
}

/** One request as the access log has it, written when it ended. */
export interface LoggedRequest {
  method: string;
  path: string;
  /** Without its `?`; empty when there is none. */
  query: string;
  status: number;
  /** The Range header; `-` without one. */
  range: string;
  bodyBytes: number;
  /** Whether the whole answer was sent. */
  complete: boolean;
  /** `TLSv1.3`; empty without. */
  tls: string;
  /** Whether its session was one of before. */
  resumed: boolean;
}

/** Says which configuration answers, so that a reload can be waited for. */
export const generationPath = '/tetherfs-generation';
/** nginx's stub_status. */
export const statusPath = '/tetherfs-status';

const logFormat =
  '$request_method\t$uri\t$status\t$http_range\t$body_bytes_sent\t$request_completion\t$args\t$ssl_protocol\t$ssl_session_reused';

export function nginxConfig(prefix: string, options: NginxOptions, generation: number): string {
  const { address, alsoListen = [], publicDir, httpPort = 80, httpsPort = 443, certificate, workers = 1 } = options;
  const tls =
    certificate === undefined
      ? ''
      : `listen ${address}:${httpsPort} ssl;
    ssl_certificate ${certificate.certificateFile};
    ssl_certificate_key ${certificate.keyFile};`;
  return `
daemon off;
user root;
worker_processes ${workers};
pid ${join(prefix, 'nginx.pid')};
error_log ${join(prefix, 'error.log')} notice;
events { worker_connections 1024; }
http {
  log_format fields '${logFormat}';
  access_log ${join(prefix, 'access.log')} fields;
  client_body_temp_path ${join(prefix, 'body')};
  proxy_temp_path ${join(prefix, 'proxy')};
  fastcgi_temp_path ${join(prefix, 'fastcgi')};
  uwsgi_temp_path ${join(prefix, 'uwsgi')};
  scgi_temp_path ${join(prefix, 'scgi')};
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 65s;
  keepalive_requests 100000;
  server {
    ${httpPort === 0 ? '' : `listen ${address}:${httpPort};`}
    ${alsoListen.map((place) => `listen ${place};`).join(' ')}
    ${tls}
    ${options.server ?? ''}
    location /confluent-public/ {
      alias ${join(publicDir, '/')};
      ${options.location ?? ''}
    }
    location = ${generationPath} { access_log off; return 200 '${generation}'; }
    location = ${statusPath} { access_log off; stub_status; }
  }
}
`;
}

export function parseAccessLog(text: string): LoggedRequest[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [method = '', path = '', status, range = '', bodyBytes, completion, query = '', tls = '', reused] =
        line.split('\t');
      return {
        method,
        path,
        range,
        status: Number(status),
        bodyBytes: Number(bodyBytes),
        query,
        complete: completion === 'OK',
        tls: tls === '-' ? '' : tls,
        resumed: reused === 'r',
      };
    });
}
