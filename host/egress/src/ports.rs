//! Which ports are never called: those of services that do not speak HTTP.
//!
//! A service that takes commands line by line skips the lines of an HTTP request that it does not know, and obeys the ones that
//! it does. Whoever chooses the URL and the body of a request could so send mail or write to a chat in our name. Browsers refuse
//! the same ports, the "bad ports" of the Fetch standard; whoever registers an endpoint knows the rule from there.

/// What is at `port`, where it is not HTTP.
pub(crate) fn other_service(port: u16) -> Option<&'static str> {
    let found = NOT_HTTP.binary_search_by_key(&port, |&(number, _)| number).ok()?;
    Some(NOT_HTTP[found].1)
}

/// In the order of their numbers.
const NOT_HTTP: [(u16, &str); 83] = [
    (0, "no service at all"),
    (1, "the TCP port multiplexer"),
    (7, "echo"),
    (9, "discard"),
    (11, "the list of processes"),
    (13, "daytime"),
    (15, "the list of connections"),
    (17, "the quote of the day"),
    (19, "the character generator"),
    (20, "FTP data"),
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "mail (SMTP)"),
    (37, "time"),
    (42, "the name server of old"),
    (43, "WHOIS"),
    (53, "DNS"),
    (69, "TFTP"),
    (77, "remote job entry"),
    (79, "finger"),
    (87, "terminal links"),
    (95, "SUPDUP terminals"),
    (101, "the NIC's host names"),
    (102, "ISO transport"),
    (103, "X.400 mail"),
    (104, "medical images (DICOM)"),
    (109, "mailboxes (POP2)"),
    (110, "mailboxes (POP3)"),
    (111, "the RPC port mapper"),
    (113, "ident"),
    (115, "the simple FTP"),
    (117, "UUCP paths"),
    (119, "news (NNTP)"),
    (123, "NTP"),
    (135, "the RPC endpoint mapper of Windows"),
    (137, "NetBIOS names"),
    (139, "NetBIOS sessions"),
    (143, "mailboxes (IMAP)"),
    (161, "SNMP"),
    (179, "BGP"),
    (389, "LDAP"),
    (427, "service location (SLP)"),
    (465, "mail (SMTP over TLS)"),
    (512, "remote execution"),
    (513, "remote login"),
    (514, "the remote shell"),
    (515, "printers (LPD)"),
    (526, "new dates"),
    (530, "courier RPC"),
    (531, "chat"),
    (532, "news of old"),
    (540, "UUCP"),
    (548, "Apple files (AFP)"),
    (554, "streams (RTSP)"),
    (556, "remote files"),
    (563, "news (NNTP over TLS)"),
    (587, "mail submission"),
    (601, "syslog"),
    (636, "LDAP over TLS"),
    (989, "FTP data over TLS"),
    (990, "FTP over TLS"),
    (993, "mailboxes (IMAP over TLS)"),
    (995, "mailboxes (POP3 over TLS)"),
    (1719, "telephony (H.323 gatekeepers)"),
    (1720, "telephony (H.323 calls)"),
    (1723, "tunnels (PPTP)"),
    (2049, "NFS"),
    (3659, "Apple passwords"),
    (4045, "NFS locks"),
    (4190, "mail filters (ManageSieve)"),
    (5060, "telephony (SIP)"),
    (5061, "telephony (SIP over TLS)"),
    (6000, "X11"),
    (6566, "scanners (SANE)"),
    (6665, "chat (IRC)"),
    (6666, "chat (IRC)"),
    (6667, "chat (IRC)"),
    (6668, "chat (IRC)"),
    (6669, "chat (IRC)"),
    (6679, "chat (IRC over TLS)"),
    (6697, "chat (IRC over TLS)"),
    (10080, "backups (Amanda)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_so_that_each_port_is_found() {
        assert!(NOT_HTTP.is_sorted_by(|one, next| one.0 < next.0));
        for (port, service) in NOT_HTTP {
            assert_eq!(other_service(port), Some(service));
        }
    }

    #[test]
    fn the_ports_that_web_servers_use_are_called() {
        for port in [80, 443, 591, 3000, 4000, 5000, 8000, 8080, 8443, 9000, 10_081, 49_152, 65_535] {
            assert_eq!(other_service(port), None);
        }
    }
}
