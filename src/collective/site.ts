/** What is of the site and no member's alone: its UUID, and the keys of the people who may log in to every node. */
import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { siteKey } from './keys.ts';
import { change, type Store } from './store/contract.ts';

const siteSchema = z.object({
  uuid: z.string(),
  /** Lines of .pub files, for root's authorized_keys. */
  rootKeys: z.array(z.string()).default([]),
  /** Addresses or names of other members that serve the image: nodes are told of them. */
  imageMembers: z.array(z.string()).default([]),
  /** Until host certificates end; absent: never. */
  hostCertificateDays: z.number().int().positive().optional(),
});
export type Site = z.infer<typeof siteSchema>;

export async function readSite(store: Store): Promise<Site | undefined> {
  const entry = await store.get(siteKey);
  return entry && siteSchema.parse(entry.value);
}

/** Made where there is none. */
export function ensureSite(store: Store): Promise<Site> {
  return change(store, async () => {
    const found = await readSite(store);
    const site = found ?? { uuid: randomUUID(), rootKeys: [], imageMembers: [] };
    return { changes: found ? [] : [{ key: siteKey, revision: 0, value: site }], result: site };
  });
}

export function changeSite(store: Store, alter: (site: Site) => Site): Promise<Site> {
  return change(store, async () => {
    const entry = await store.get(siteKey);
    const site = alter(entry ? siteSchema.parse(entry.value) : { uuid: randomUUID(), rootKeys: [], imageMembers: [] });
    return { changes: [{ key: siteKey, revision: entry?.revision ?? 0, value: site }], result: site };
  });
}
