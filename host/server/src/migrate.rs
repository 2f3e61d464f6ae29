//! `armilla migrate`.

use tracing::info;

use crate::serve::{Database, ServeError};
use crate::settings::Settings;

/// Brings the schema up to date and ends.
pub(crate) async fn migrate(settings: Settings) -> Result<(), ServeError> {
    let database = Database::open(&settings).await?;
    let done = database.store.migrate().await;
    database.close().await;
    done?;
    info!("The database's schema is up to date");
    Ok(())
}
