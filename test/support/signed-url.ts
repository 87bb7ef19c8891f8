/** URLs that open one object of an object store for some time: AWS Signature Version 4, by query ("Authenticating Requests: Using Query Parameters"). */
import { createHash, createHmac } from 'node:crypto';

export interface Signing {
  accessKey: string;
  secret: string;
  /** How long it opens. */
  seconds: number;
}

const region = 'us-east-1';

export function signedUrl(url: string, { accessKey, secret, seconds }: Signing): string {
  const signed = new URL(url);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const date = time.slice(0, 8);
  const scope = `${date}/${region}/s3/aws4_request`;
  const query = new URLSearchParams({
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${accessKey}/${scope}`,
    'X-Amz-Date': time,
    'X-Amz-Expires': String(seconds),
    'X-Amz-SignedHeaders': 'host',
  });
  const request = ['GET', signed.pathname, query, `host:${signed.host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const digest = createHash('sha256').update(request).digest('hex');
  const key = [date, region, 's3', 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secret}`);
  query.append('X-Amz-Signature', hmac(key, ['AWS4-HMAC-SHA256', time, scope, digest].join('\n')).toString('hex'));
  signed.search = query.toString();
  return signed.href;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
