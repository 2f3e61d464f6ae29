//! The private cluster on a real Postgres, as whatever user runs this.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use armilla_store::cluster::{Cluster, ClusterConfig, ClusterError, Durability, LockError, remove_abandoned};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Long enough for a crowded machine; nothing here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(data_dir: &Path, durability: Durability) -> ClusterConfig {
    ClusterConfig {
        data_dir: data_dir.to_owned(),
        postgres_bin: std::env::var_os("ARMILLA_POSTGRES_BIN").map(PathBuf::from),
        durability,
        extra_bin_dirs: Vec::new(),
    }
}

/// A folder that the account which runs Postgres can come to, whoever that is.
fn folder() -> tempfile::TempDir {
    folder_with_mode(0o711)
}

fn folder_with_mode(mode: u32) -> tempfile::TempDir {
    tempfile::Builder::new().permissions(PermissionsExt::from_mode(mode)).tempdir().unwrap()
}

async fn start(data_dir: &Path, durability: Durability) -> Cluster {
    Cluster::start(config(data_dir, durability)).await.unwrap()
}

async fn execute(cluster: &Cluster, statement: &str) {
    let mut connection = PgConnection::connect_with(&cluster.connect_options()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn read_note(cluster: &Cluster) -> String {
    let mut connection = PgConnection::connect_with(&cluster.connect_options()).await.unwrap();
    sqlx::query_scalar("select text from notes").fetch_one(&mut connection).await.unwrap()
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(raw.try_into().unwrap()).unwrap()
}

/// Whether a process lives; a zombie does not.
fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_cluster_keeps_what_was_written_over_a_stop_and_a_start() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let cluster = start(&data_dir, Durability::Durable).await;
    execute(&cluster, "create table notes (text text); insert into notes values ('kept')").await;
    let postmaster = cluster.pid().unwrap();
    cluster.stop().await;
    assert!(!is_alive(postmaster));

    let again = start(&data_dir, Durability::Durable).await;
    assert_eq!(read_note(&again).await, "kept");
    let by_url: sqlx::postgres::PgConnectOptions = again.database_url().parse().unwrap();
    PgConnection::connect_with(&by_url).await.unwrap();
    again.stop().await;
}

#[tokio::test]
async fn a_cluster_listens_nowhere_but_in_a_folder_that_others_cannot_enter() {
    let folder = folder();
    let cluster = start(&folder.path().join("data"), Durability::Disposable).await;
    let mut connection = PgConnection::connect_with(&cluster.connect_options()).await.unwrap();
    let ask = async |connection: &mut PgConnection, name: &str| -> String {
        sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
    };
    assert_eq!(ask(&mut connection, "listen_addresses").await, "");
    assert_eq!(ask(&mut connection, "server_encoding").await, "UTF8");
    let socket_dir = ask(&mut connection, "unix_socket_directories").await;
    assert_eq!(std::fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_second_host_on_the_same_data_folder_is_refused_and_the_first_goes_on() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let first = start(&data_dir, Durability::Disposable).await;
    let refusal = Cluster::start(config(&data_dir, Durability::Disposable)).await.unwrap_err();
    assert!(
        matches!(&refusal, ClusterError::Lock(LockError::InUse { pid: Some(pid), .. })
        if *pid == std::process::id().to_string()),
        "{refusal}"
    );
    execute(&first, "select 1").await;
    assert!(matches!(remove_abandoned(&data_dir), Err(ClusterError::Lock(LockError::InUse { .. }))));
    drop(first);
    remove_abandoned(&data_dir).unwrap();
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_everything_that_was_committed() {
    let folder = folder();
    let cluster = start(&folder.path().join("data"), Durability::Durable).await;
    execute(&cluster, "create table notes (text text); insert into notes values ('committed')").await;
    // A session that is open while the postmaster dies holds on to the shared memory for a moment.
    let _open = PgConnection::connect_with(&cluster.connect_options()).await.unwrap();
    let killed = cluster.pid().unwrap();
    kill_process(pid(killed), Signal::KILL).unwrap();
    until("Postgres did not come back", async || {
        cluster.pid().is_some_and(|pid| pid != killed)
            && PgConnection::connect_with(&cluster.connect_options()).await.is_ok()
    })
    .await;
    assert_eq!(read_note(&cluster).await, "committed");
    cluster.stop().await;
}

#[tokio::test]
async fn a_dropped_cluster_leaves_no_process() {
    let folder = folder();
    let cluster = start(&folder.path().join("data"), Durability::Durable).await;
    let postmaster = cluster.pid().unwrap();
    drop(cluster);
    assert!(!is_alive(postmaster));
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_process_and_no_half_made_cluster() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let given_up =
        tokio::time::timeout(Duration::from_millis(50), Cluster::start(config(&data_dir, Durability::Disposable)));
    assert!(given_up.await.is_err(), "initdb takes longer than this");
    let cluster = start(&data_dir, Durability::Disposable).await;
    execute(&cluster, "select 1").await;
}

#[tokio::test]
async fn a_start_that_fails_shows_what_postgres_wrote() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    start(&data_dir, Durability::Disposable).await.stop().await;
    let settings = data_dir.join("postgres/data/postgresql.conf");
    std::fs::write(&settings, "no_such_setting = 1\n").unwrap();
    let error = Cluster::start(config(&data_dir, Durability::Disposable)).await.unwrap_err().to_string();
    assert!(error.contains("no_such_setting") && error.contains("postgres.log"), "{error}");
}

#[tokio::test]
async fn a_cluster_of_a_newer_postgres_is_refused_and_left_alone() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    start(&data_dir, Durability::Disposable).await.stop().await;
    let version = data_dir.join("postgres/data/PG_VERSION");
    std::fs::write(&version, "99\n").unwrap();
    let error = Cluster::start(config(&data_dir, Durability::Disposable)).await.unwrap_err();
    assert!(matches!(error, ClusterError::OtherMajor { cluster_major: 99, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(version).unwrap(), "99\n");
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_has_its_socket_elsewhere() {
    let folder = folder();
    let data_dir = folder.path().join("d".repeat(100));
    let cluster = start(&data_dir, Durability::Disposable).await;
    execute(&cluster, "select 1").await;
    drop(cluster);
    remove_abandoned(&data_dir).unwrap();
}

#[tokio::test]
async fn root_keeps_a_cluster_apart_whose_account_cannot_come_to_the_data_folder() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user's Postgres runs as that user, who can come to its own folder.
        return;
    }
    let closed = folder_with_mode(0o700);
    let data_dir = closed.path().join("data");
    let cluster = start(&data_dir, Durability::Disposable).await;
    execute(&cluster, "create table notes (text text); insert into notes values ('apart')").await;
    cluster.stop().await;
    let home = PathBuf::from(std::fs::read_to_string(data_dir.join("postgres.location")).unwrap());
    assert!(home.starts_with(std::env::temp_dir()) && !home.starts_with(closed.path()), "{}", home.display());

    let again = start(&data_dir, Durability::Disposable).await;
    assert_eq!(read_note(&again).await, "apart");
    drop(again);
    remove_abandoned(&data_dir).unwrap();
    assert!(!home.exists());
}

#[tokio::test]
async fn a_pid_file_whose_id_has_become_another_programs_does_not_keep_postgres_from_starting() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    start(&data_dir, Durability::Disposable).await.stop().await;
    let data = data_dir.join("postgres/data");
    // This very process: alive, and no Postgres.
    std::fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", std::process::id(), data.display())).unwrap();
    start(&data_dir, Durability::Disposable).await.stop().await;
}

const HOST_VARIABLE: &str = "ARMILLA_CLUSTER_TEST_HOST";
const HOST_TEST: &str = "postgres_ends_with_a_killed_host_and_the_next_host_finds_everything";

/// This very test in a process of its own, where it plays the host.
fn spawn_host(data_dir: &Path) -> (Child, u32) {
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", HOST_TEST, "--nocapture"])
        .env(HOST_VARIABLE, data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("postmaster=")).unwrap();
    let postmaster = line.rsplit_once('=').unwrap().1.parse().unwrap();
    (host, postmaster)
}

#[tokio::test]
async fn postgres_ends_with_a_killed_host_and_the_next_host_finds_everything() {
    if let Some(data_dir) = std::env::var_os(HOST_VARIABLE) {
        let cluster = start(Path::new(&data_dir), Durability::Durable).await;
        execute(&cluster, "create table if not exists notes (text text); insert into notes values ('of a host')").await;
        #[allow(clippy::print_stdout, reason = "this process is a child that tells its parent one line")]
        {
            println!("\npostmaster={}", cluster.pid().unwrap());
        }
        std::future::pending::<()>().await;
    }
    let folder = folder();
    let data_dir = folder.path().join("data");
    let (mut host, postmaster) = spawn_host(&data_dir);
    assert!(is_alive(postmaster));
    host.kill().unwrap();
    host.wait().unwrap();
    // At once: the old Postgres may still be on its way out.
    let cluster = start(&data_dir, Durability::Durable).await;
    assert!(cluster.pid() != Some(postmaster) && !is_alive(postmaster));
    assert_eq!(read_note(&cluster).await, "of a host");
    cluster.stop().await;
}
