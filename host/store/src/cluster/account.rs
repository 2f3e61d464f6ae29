//! Which account runs Postgres, which refuses to run as root, and where that account can go.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An account other than our own that Postgres runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What the choice of an account depends on.
#[derive(Debug, Default)]
pub(super) struct AccountFacts<'a> {
    /// Who we are.
    pub(super) euid: u32,
    /// Owner of the cluster's files, where there is a cluster.
    pub(super) cluster_owner: Option<(u32, u32)>,
    /// Owner of the data folder.
    pub(super) data_dir_owner: Option<(u32, u32)>,
    /// The text of `/etc/passwd`.
    pub(super) passwd: &'a str,
}

/// `None`: as ourselves. `Err`: we are root and the system has nobody else.
pub(super) fn choose_account(facts: &AccountFacts<'_>) -> Result<Option<Account>, ()> {
    if facts.euid != 0 {
        return Ok(None);
    }
    // Postgres serves a cluster only to the owner of its files, whoever else there may be by now.
    if let Some((uid, gid)) = facts.cluster_owner.filter(|(uid, _)| *uid != 0) {
        return Ok(Some(Account { name: format!("user id {uid}"), uid, gid }));
    }
    let accounts = || facts.passwd.lines().filter_map(parse_passwd_line);
    // An owner without an entry in passwd is passed over: initdb refuses to run as such a one.
    let owner =
        facts.data_dir_owner.and_then(|(uid, _)| accounts().find(|account| account.uid == uid && account.uid != 0));
    let named = |name: &str| accounts().find(|account| account.name == name && account.uid != 0);
    owner.or_else(|| named("postgres")).or_else(|| named("nobody")).map(Some).ok_or(())
}

fn parse_passwd_line(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}

/// Whether the permission bits of a folder let `account` pass through it.
pub(super) fn may_enter(account: &Account, mode: u32, owner: u32, group: u32) -> bool {
    let bit = match () {
        () if owner == account.uid => 0o100,
        () if group == account.gid => 0o010,
        () => 0o001,
    };
    mode & bit != 0
}

/// The first folder on the way to `path` (itself included) that `account` may not enter. The path must exist.
pub(super) fn first_closed_folder(path: &Path, account: &Account) -> io::Result<Option<PathBuf>> {
    let path = path.canonicalize()?;
    let mut folders: Vec<&Path> = path.ancestors().collect();
    folders.reverse();
    for folder in folders {
        let facts = fs::metadata(folder)?;
        if !may_enter(account, facts.mode(), facts.uid(), facts.gid()) {
            return Ok(Some(folder.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1001::/home/ada:/bin/sh\n\
        postgres:x:101:104::/var/lib/postgresql:/bin/bash\nnobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";

    fn chosen(facts: &AccountFacts<'_>) -> Option<(u32, u32)> {
        choose_account(facts).unwrap().map(|account| (account.uid, account.gid))
    }

    #[test]
    fn an_ordinary_user_runs_postgres_as_itself() {
        let facts = AccountFacts { euid: 1000, data_dir_owner: Some((7, 7)), passwd: PASSWD, ..Default::default() };
        assert_eq!(chosen(&facts), None);
    }

    #[test]
    fn root_prefers_the_clusters_owner_then_the_folders_then_postgres_then_nobody() {
        let all = AccountFacts {
            euid: 0,
            cluster_owner: Some((65534, 65533)),
            data_dir_owner: Some((1000, 5)),
            passwd: PASSWD,
        };
        assert_eq!(chosen(&all), Some((65534, 65533)));
        let no_cluster = AccountFacts { cluster_owner: None, ..all };
        assert_eq!(chosen(&no_cluster), Some((1000, 1001)), "the group is the account's, not the folder's");
        let of_root = AccountFacts { data_dir_owner: Some((0, 0)), ..no_cluster };
        assert_eq!(chosen(&of_root), Some((101, 104)));
        let without_postgres = PASSWD.replace("postgres:", "pg:");
        assert_eq!(chosen(&AccountFacts { passwd: &without_postgres, ..of_root }), Some((65534, 65533)));
    }

    #[test]
    fn an_owner_that_the_system_does_not_know_is_passed_over() {
        let facts = AccountFacts { data_dir_owner: Some((4242, 4242)), passwd: PASSWD, ..Default::default() };
        assert_eq!(chosen(&facts), Some((101, 104)));
    }

    #[test]
    fn root_without_any_other_account_is_refused() {
        assert_eq!(
            choose_account(&AccountFacts { passwd: "root:x:0:0::/:/bin/sh\nbroken", ..Default::default() }),
            Err(())
        );
    }

    #[test]
    fn the_most_specific_class_of_permission_bits_decides_alone() {
        let ada = Account { name: "ada".into(), uid: 1000, gid: 1000 };
        assert!(may_enter(&ada, 0o711, 0, 0));
        assert!(!may_enter(&ada, 0o700, 0, 0));
        assert!(may_enter(&ada, 0o710, 0, 1000));
        assert!(!may_enter(&ada, 0o701, 0, 1000), "the group's bits hold for a member, even where others have more");
        assert!(!may_enter(&ada, 0o077, 1000, 1000));
    }
}
