/** What a member knows of itself and the site. */
export interface SiteFacts {
  /** By which nodes tell the members of their site from others. */
  uuid: string;
  /** This member's name: that of its machine. */
  member: string;
  /** Of all members, with their domains. */
  memberNames(): string[];
  /** Of all members that serve the image: no loopback, nothing link-local, for which a node would have to know its interface. */
  memberAddresses(): Promise<string[]>;
  /** Of this machine, an Olson name. */
  timezone: string;
  /** Until host certificates end; undefined: never. */
  hostCertificateDays(): Promise<number | undefined>;
}
