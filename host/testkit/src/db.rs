//! A database per test, with the schema in it, on a server that comes up by itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use armilla_store::cluster::databases::{clone_template, connect_options, drop_old_clones, ensure_template, url};
use armilla_store::cluster::{Cluster, ClusterConfig, Durability, PgConnectOptions, remove_abandoned};
use tokio::sync::OnceCell;

/// Names a server to test on in place of the private cluster. Its role must be allowed to make databases.
pub const TEST_SERVER_VARIABLE: &str = "ARMILLA_TEST_DATABASE_URL";

/// A fresh database with the schema of this program. It stays until its server goes: with the test process, or on a
/// server of your own until a later run.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    options: PgConnectOptions,
}

impl TestDatabase {
    /// Clones the template. The first call of a process brings up the server.
    ///
    /// # Panics
    /// Where there is no Postgres to test on: the message says what to do.
    pub async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let unique = format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let options = clone_template(&server.options, &server.template, &unique)
            .await
            .unwrap_or_else(|error| panic!("no database for this test: {error}"));
        Self { options }
    }

    /// How to reach it.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// The same as text, for another process.
    pub fn url(&self) -> String {
        url(&self.options)
    }
}

struct Server {
    options: PgConnectOptions,
    template: String,
    /// Never dropped, as it is in a static: its Postgres gets the parent-death signal when the process ends.
    _cluster: Option<Cluster>,
}

async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER.get_or_init(start_server).await
}

async fn start_server() -> Server {
    let (options, cluster) = match std::env::var(TEST_SERVER_VARIABLE) {
        Ok(url) => {
            let options = connect_options(&url)
                .unwrap_or_else(|error| panic!("{TEST_SERVER_VARIABLE} is no URL of a Postgres server: {error}"));
            drop_old_clones(&options)
                .await
                .unwrap_or_else(|error| panic!("the server of {TEST_SERVER_VARIABLE} cannot be used: {error}"));
            (options, None)
        }
        Err(_) => {
            let cluster = start_cluster().await;
            (cluster.connect_options(), Some(cluster))
        }
    };
    let template =
        ensure_template(&options).await.unwrap_or_else(|error| panic!("no template for test databases: {error}"));
    Server { options, template, _cluster: cluster }
}

async fn start_cluster() -> Cluster {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = clusters_folder();
    remove_clusters_of_dead_processes(&folder);
    let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let config = ClusterConfig {
        data_dir: folder.join(name),
        postgres_bin: std::env::var_os("ARMILLA_POSTGRES_BIN").map(PathBuf::from),
        durability: Durability::Disposable,
        extra_bin_dirs: Vec::new(),
    };
    Cluster::start(config).await.unwrap_or_else(|error| panic!("no Postgres to test on: {error}"))
}

fn clusters_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    target.join("test-clusters")
}

fn remove_clusters_of_dead_processes(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split_once('-')).and_then(|(pid, _)| pid.parse::<u32>().ok());
        // Without a /proc only the folder's lock tells whether its process lives.
        let is_alive = |pid| Path::new(&format!("/proc/{pid}")).exists();
        if pid.is_some_and(|pid| pid != std::process::id() && !is_alive(pid)) {
            // Another test process may be removing it as well, or may not be ours to remove: the next run tries again.
            let _ = remove_abandoned(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use armilla_store::Store;

    #[tokio::test]
    async fn databases_are_made_at_the_same_time_and_know_nothing_of_each_other() {
        let databases = tokio::join!(TestDatabase::create(), TestDatabase::create(), TestDatabase::create());
        let urls = [databases.0.url(), databases.1.url(), databases.2.url()];
        assert!(urls[0] != urls[1] && urls[1] != urls[2] && urls[0] != urls[2], "{urls:?}");
        for url in urls {
            Store::new(connect_options(&url).unwrap()).ping().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_database_has_the_schema_already() {
        let database = TestDatabase::create().await;
        let migrated = Store::new(database.connect_options());
        // On the newest schema this is a check and no work.
        migrated.migrate().await.unwrap();
    }

    #[test]
    fn a_cluster_whose_process_is_gone_is_removed_and_that_of_a_living_one_stays() {
        let folder = clusters_folder().join(format!("sweep-of-{}", std::process::id()));
        // No process has this id: it is above the largest that Linux gives.
        let (dead, living) = (folder.join("4194305-0"), folder.join("1-0"));
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::create_dir_all(&living).unwrap();
        remove_clusters_of_dead_processes(&folder);
        let left = (dead.exists(), living.exists());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(left, (false, true));
    }
}
