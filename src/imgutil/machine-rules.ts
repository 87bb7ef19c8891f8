/**
 * What every machine makes its own, and an image for many must not hold: which files, and what is made of them. As data, because a machine that is captured does by it
 * what we do here.
 */
export interface MachineRule {
  readonly what: string;
  /** `*` stands for anything within one name. */
  readonly paths: readonly string[];
  /**
   * Only one that holds this, whatever the case of its letters; of what grep -E and regular expressions of JavaScript have in common. What is wrong in a file of settings can stop
   * what reads all of them, so none is left with its secrets cut out.
   */
  readonly ifItHolds?: string;
  /** What makes the file again takes an empty one for one that is there: then it is left out. Emptied unless said otherwise. */
  readonly becomes?: 'nothing' | 'without hashes';
  /** Only of a machine that runs: in a tree they are what its administrator has put there for all nodes. */
  readonly ofRunning?: true;
}

/** Bytes. What is larger is no settings, and is emptied whatever it holds. */
export const largestText = 16 * 1024 * 1024;

/** crypt(3) makes no shorter ones; shorter words (`x`, `*`, `!`, `NP`) are none, and no password is no secret. */
export const shortestHash = 13;

const privateKey = '-----BEGIN [A-Z ]*PRIVATE KEY|PuTTY-User-Key-File';
const password = 'passw|secret|token|authtok|bindpw|(^|[^a-z])(pass|key)([^a-z]|$)';

export const machineRules: readonly MachineRule[] = [
  { what: 'ssh host key', paths: ['/etc/ssh/ssh_host_*', '/etc/dropbear*/*host_key', '/etc/dropbear/*/*host_key'] },
  // machine-id(5): `uninitialized` says that the next boot is the first.
  { what: 'machine id', paths: ['/etc/machine-id', '/var/lib/dbus/machine-id'], ifItHolds: '^[a-tv-z]|[0-9]' },
  { what: 'random seed', paths: ['/var/lib/systemd/random-seed'] },
  { what: 'key of systemd credentials', paths: ['/var/lib/systemd/credential.secret'], becomes: 'nothing' },
  {
    what: 'password hashes',
    paths: ['shadow', 'gshadow', 'passwd', 'group'].flatMap((name) => [
      `/etc/${name}`,
      `/etc/${name}-`,
      `/etc/${name}.*`,
      `/var/backups/${name}.bak`,
    ]),
    becomes: 'without hashes',
  },
  { what: 'former password hashes', paths: ['/etc/security/opasswd'] },
  {
    what: 'password hashes of an installer',
    paths: [
      ...['/root/*.cfg', '/root/autoinst.xml', '/etc/cloud/cloud.cfg.d/*', '/var/log/installer/*'],
      ...['/var/lib/cloud/instances/*/user-data*', '/var/cache/debconf/passwords.dat', '/boot/grub*/user.cfg'],
    ],
    ifItHolds: String.raw`\$(1|2[abxy]|5|6|7|y|gy)\$|grub\.pbkdf2|passwd|password`,
  },
  { what: 'API key', paths: ['/etc/confluent/*.apikey', '/etc/tetherfs/*.apikey'] },
  { what: 'private ssh key', paths: ofPeople('.ssh/*', '.ssh/*/*'), ifItHolds: privateKey },
  { what: 'private GnuPG key', paths: ofPeople('.gnupg/private-keys-v1.d/*', '.gnupg/secring.gpg') },
  {
    what: 'password or token of a person',
    paths: ofPeople('.netrc', '.pgpass', '.git-credentials', '.vault-token', '.aws/credentials', '.kube/config'),
  },
  {
    what: 'settings with a password or token of a person',
    paths: ofPeople('.my.cnf', '.npmrc', '.docker/config.json', '.config/gh/hosts.yml', '.config/rclone/rclone.conf'),
    ifItHolds: 'pass|token|auth|secret|key',
  },
  {
    what: 'key of a self-signed certificate',
    paths: ['/etc/ssl/private/ssl-cert-snakeoil.key', '/etc/pki/tls/private/localhost.key'],
    becomes: 'nothing',
  },
  { what: 'key of a subscription', paths: ['/etc/pki/consumer/key.pem', '/etc/pki/entitlement/*-key.pem'] },
  { what: 'Kerberos keys', paths: ['/etc/krb5.keytab'] },
  { what: 'key of NetworkManager', paths: ['/var/lib/NetworkManager/secret_key'], becomes: 'nothing' },
  {
    what: 'network secrets',
    paths: [
      ...['/etc/netplan/*', '/etc/NetworkManager/system-connections/*', '/etc/wpa_supplicant/*', '/etc/wireguard/*'],
      ...['/usr/lib/netplan/*', '/usr/lib/NetworkManager/system-connections/*', '/var/lib/iwd/*'],
      ...[
        '/etc/systemd/network/*',
        '/etc/sysconfig/network-scripts/keys-*',
        '/etc/ppp/*-secrets',
        '/etc/ipsec.secrets',
      ],
    ],
    ifItHolds: String.raw`psk|passw|passphrase|secret|private|pre-?shared|\bkeys?\b|wep[-_]?key|\bcak\b|\bpin\b|-pass\b|blob`,
  },

  // What it has become by running.
  {
    what: 'history of a person',
    paths: ofPeople('.*_history', '.history', '.lesshst', '.viminfo', '.wget-hsts', '.local/share/*/*_history'),
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'private key',
    paths: [
      ...[
        '/etc/ssl/private/*',
        '/etc/pki/*/private/*',
        '/etc/letsencrypt/archive/*/*',
        '/etc/letsencrypt/accounts/*/*/*/*',
      ],
      ...['*.key', '*.pem', '*/*.key', '*/*.pem', '*/*/*.key', '*/*/*.pem'].map((name) => `/etc/${name}`),
    ],
    ifItHolds: privateKey,
    ofRunning: true,
  },
  {
    what: 'key of a cluster',
    paths: [
      ...['/etc/munge/munge.key', '/etc/corosync/authkey', '/etc/pacemaker/authkey', '/etc/slurm*/*.key'],
      ...[
        '/var/spool/slurm*/*.key',
        '/etc/ceph/*.keyring',
        '/var/lib/ceph/*/*/keyring',
        '/etc/rndc.key',
        '/etc/bind/rndc.key',
      ],
    ],
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'settings with a password or a key',
    paths: [
      ...['/etc/sssd/sssd.conf', '/etc/sssd/conf.d/*', '/etc/nslcd.conf', '/etc/ldap.conf', '/etc/pam_ldap.conf'],
      ...['/etc/postfix/sasl_passwd*', '/etc/exim4/passwd.client', '/etc/msmtprc', '/etc/mysql/debian.cnf'],
      ...['/etc/slurm*/slurmdbd.conf', '/etc/kubernetes/*.conf', '/etc/rancher/*/*.yaml', '/etc/iscsi/iscsid.conf'],
      ...['/etc/chrony.keys', '/etc/chrony/chrony.keys', '/etc/ntp.keys', '/etc/ntp/keys', '/etc/docker/key.json'],
    ],
    ifItHolds: `^[^#]*(${password})|^[0-9]+[ \t]|client-key-data`,
    ofRunning: true,
  },
  {
    what: 'password',
    paths: [
      '/etc/ldap.secret',
      '/etc/pam_ldap.secret',
      '/etc/samba/smbpasswd',
      '/etc/samba/*.tdb',
      '/var/lib/samba/private/*',
    ],
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'Kerberos keys of a service',
    paths: [
      '/etc/*.keytab',
      '/etc/*/*.keytab',
      '/var/lib/*/*.keytab',
      '/var/lib/krb5kdc/*',
      '/var/kerberos/krb5kdc/.k5*',
    ],
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'key of an encrypted disk',
    paths: ['/etc/crypttab', '/etc/cryptsetup-keys.d/*', '/etc/luks-keys/*', '/crypto_keyfile.bin'],
    ofRunning: true,
  },
  {
    what: 'key of a TPM',
    paths: ['/var/lib/tpm2-tss/*', '/var/lib/tpm2-tss/*/*'],
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'name that no other machine may have',
    paths: ['/etc/iscsi/initiatorname.iscsi', '/etc/nvme/hostnqn', '/etc/nvme/hostid', '/etc/hostid'],
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'seed of a bootloader',
    paths: ['/boot/loader/random-seed', '/boot/efi/loader/random-seed', '/efi/loader/random-seed'],
    becomes: 'nothing',
    ofRunning: true,
  },
  {
    what: 'network of this machine',
    paths: [
      ...['/etc/netplan/*', '/etc/NetworkManager/system-connections/*', '/etc/sysconfig/network-scripts/ifcfg-*'],
      ...['/etc/sysconfig/network/ifcfg-*', '/etc/systemd/network/*', '/etc/network/interfaces.d/*'],
      '/etc/udev/rules.d/70-persistent-*',
    ],
    becomes: 'nothing',
    ofRunning: true,
  },
  { what: 'network of this machine', paths: ['/etc/network/interfaces'], ifItHolds: 'iface', ofRunning: true },
];

/** Directories whose content is that of one run of one machine; of it nothing is captured. */
export const ownContents: readonly string[] = [
  ...['/proc', '/sys', '/run', '/tmp', '/var/tmp', '/lost+found'],
  ...['/var/log/journal', '/var/lib/systemd/coredump', '/var/crash', '/var/spool/abrt'],
  ...['/var/lib/dhcp', '/var/lib/dhclient', '/var/lib/dhcpcd'],
  ...['/var/lib/sss/db', '/var/lib/sss/mc', '/var/lib/sss/secrets'],
  // A member's: keys of images and of the site.
  ...['/var/lib/confluent/private', '/etc/confluent/cfg', '/etc/confluent/ssh', '/etc/confluent/tls'],
  // Of snapper.
  ...['/.snapshots', '/home/.snapshots'],
];

/** Of root and of whoever has a home directory. */
function ofPeople(...paths: string[]): string[] {
  return ['/root', '/home/*'].flatMap((home) => paths.map((path) => `${home}/${path}`));
}
