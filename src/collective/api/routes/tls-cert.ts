/** POST self/tlscert: a certificate for the key of a request (PKCS #10, PEM). Its name and addresses are the node's, whatever the request says. */
import { issueForRequest } from '../../authority/tls.ts';
import { certifiedAddresses, namesOf } from '../../names.ts';
import { othersThan } from '../../nodes.ts';
import { type Routes, whoAsks } from '../context.ts';

/** Days, where pubkeys.tls_lifetime says no others: upstream's. */
const lifetime = 47;

export const tlsCert: Routes = (app, { authorities, store, nodes }) => {
  app.post<{ Body: Buffer | undefined }>('/self/tlscert', { bodyLimit: 65_536 }, async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const [name = node, ...names] = namesOf(node, attributes);
    const addresses = certifiedAddresses(attributes, address, await othersThan(node, nodes));
    const days = Number(attributes['pubkeys.tls_lifetime'] ?? lifetime) || lifetime;
    const csr = request.body?.toString('latin1') ?? '';
    const certificate = await issueForRequest(await authorities.tls(), csr, { name, names, addresses }, days);
    await store.audit({ subject: node, event: 'tls certificate', by: address, detail: `${days} days` });
    return reply.type('application/x-pem-file').send(certificate);
  });
};
