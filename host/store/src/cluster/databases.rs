//! Databases for tests: one template per state of the migrations, and a clone of it for each test.

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::{MIGRATOR, Store, StoreError};

/// Clones older than this are another run's: no test takes so long.
pub const CLONE_SECONDS_MAX: u32 = 3600;

/// One at a time builds a template; the number only has to be nobody else's.
const TEMPLATE_LOCK: i64 = 0x61726d_696c6c61;
const TEMPLATE_PREFIX: &str = "armilla_template_";
const CLONE_PREFIX: &str = "armilla_test_";

/// Why a database for a test is not there.
#[derive(Debug, thiserror::Error)]
pub enum DatabasesError {
    /// The server refused.
    #[error("the test server refused: {0}")]
    Sql(#[from] sqlx::Error),
    /// The migrations do not run on an empty database.
    #[error("the migrations failed on an empty database: {0}")]
    Migrate(#[from] StoreError),
}

/// How to reach the server or database of a URL.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, DatabasesError> {
    Ok(url.parse()?)
}

/// The URL of a database, password and all, as [`connect_options`] reads it.
pub fn url(options: &PgConnectOptions) -> String {
    options.to_url_lossy().into()
}

/// Makes the template of this program's schema where the server lacks it, and answers its name. `server` reaches a
/// database that stays, with a role that may make others.
pub async fn ensure_template(server: &PgConnectOptions) -> Result<String, DatabasesError> {
    let mut connection = PgConnection::connect_with(server).await?;
    // The journal's partitions are made for the months ahead, so a template ages.
    let month: String = sqlx::query_scalar("select to_char(now(), 'YYYYMM')").fetch_one(&mut connection).await?;
    let name = format!("{TEMPLATE_PREFIX}{month}_{}", migrations_hash());
    // Held by the session: also released where we fail.
    sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        let unfinished = format!("{name}_unfinished");
        execute(&mut connection, format!("drop database if exists {unfinished}")).await?;
        execute(&mut connection, format!("create database {unfinished} encoding 'UTF8' template template0")).await?;
        let store = Store::new(server.clone().database(&unfinished));
        store.migrate().await?;
        store.close().await;
        execute(&mut connection, format!("alter database {unfinished} rename to {name}")).await?;
    }
    connection.close().await?;
    Ok(name)
}

/// A new database like `template`. The name tells its age, for [`drop_old_clones`]; `unique` tells it from the others.
pub async fn clone_template(
    server: &PgConnectOptions,
    template: &str,
    unique: &str,
) -> Result<PgConnectOptions, DatabasesError> {
    let mut connection = PgConnection::connect_with(server).await?;
    let (version, seconds): (i32, i64) = sqlx::query_as(
        "select current_setting('server_version_num')::int, extract(epoch from clock_timestamp())::bigint",
    )
    .fetch_one(&mut connection)
    .await?;
    let name = format!("{CLONE_PREFIX}{seconds}_{unique}");
    // Copying files beats writing a small database through the log; before 15 it was the only way.
    let strategy = if version >= 150_000 { " strategy file_copy" } else { "" };
    execute(&mut connection, format!("create database \"{name}\" template {template}{strategy}")).await?;
    connection.close().await?;
    Ok(server.clone().database(&name))
}

/// Drops what earlier runs left on a server that outlives them.
pub async fn drop_old_clones(server: &PgConnectOptions) -> Result<(), DatabasesError> {
    let mut connection = PgConnection::connect_with(server).await?;
    let old: Vec<String> = sqlx::query_scalar(
        "select datname from pg_database where datname ~ ('^' || $1 || '[0-9]+_')
         and split_part(datname, '_', 3)::bigint < extract(epoch from clock_timestamp()) - $2",
    )
    .bind(CLONE_PREFIX)
    .bind(f64::from(CLONE_SECONDS_MAX))
    .fetch_all(&mut connection)
    .await?;
    for name in old {
        execute(&mut connection, format!("drop database if exists \"{name}\" with (force)")).await?;
    }
    connection.close().await?;
    Ok(())
}

fn migrations_hash() -> String {
    let mut hash = Sha256::new();
    for migration in MIGRATOR.iter() {
        hash.update(migration.version.to_be_bytes());
        hash.update(&migration.checksum);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Only for names made in this file: neither a database's name nor `create database` takes a parameter.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}
