/** POST self/sshcert: a certificate for a host key that the node has made; the private key stays there. */
import { certifiedAddresses, namesOf } from '../../names.ts';
import { othersThan } from '../../nodes.ts';
import { type Routes, whoAsks } from '../context.ts';

export const sshCert: Routes = (app, context) => {
  app.post<{ Body: Buffer | undefined }>('/self/sshcert', { bodyLimit: 16_384 }, async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const { authorities, ssh, store, site, nodes } = context;
    const principals = [
      ...namesOf(node, attributes),
      ...certifiedAddresses(attributes, address, await othersThan(node, nodes)),
    ];
    const authority = await authorities.ssh();
    const serial = await authorities.nextSerial();
    const days = await site.hostCertificateDays();
    const certificate = await ssh.sign(authority, request.body?.toString('latin1') ?? '', {
      node,
      principals,
      serial,
      days,
    });
    await store.audit({ subject: node, event: 'host certificate', by: address, detail: `serial ${serial}` });
    return reply.type('text/plain').send(certificate);
  });
};
