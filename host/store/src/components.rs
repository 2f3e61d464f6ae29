//! Components' bytes, each once by its digest.

use futures::TryStreamExt;

use crate::{Store, StoreError};

/// In bytes of one piece: a row that neither end minds to hold.
const CHUNK_BYTES: usize = 1 << 20;
/// Pieces that one statement takes.
const CHUNKS_PER_STATEMENT: usize = 4;

impl Store {
    /// Keeps a component, unless it is here already. All of it or nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_component(&self, digest: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let new = sqlx::query!(
            "insert into components (digest, bytes) values ($1, $2) on conflict do nothing",
            digest,
            bytes.len() as i64,
        );
        if new.execute(&mut *tx).await?.rows_affected() == 0 {
            // As if it had just come, so that it is not swept away before it has a version.
            let touched = sqlx::query!("update components set created_at = now() where digest = $1", digest);
            touched.execute(&mut *tx).await?;
            tx.commit().await?;
            return Ok(());
        }
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        for (batch, chunks) in chunks.chunks(CHUNKS_PER_STATEMENT).enumerate() {
            sqlx::query!(
                "insert into component_chunks (digest, n, chunk)
                select $1, $2 + e.n, e.chunk from unnest($3::bytea[]) with ordinality as e(chunk, n)",
                digest,
                (batch * CHUNKS_PER_STATEMENT) as i64,
                chunks as &[&[u8]],
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A component's bytes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn component(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let length = sqlx::query_scalar!("select bytes from components where digest = $1", digest);
        let Some(length) = length.fetch_optional(&self.pool).await? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut chunks = sqlx::query_scalar!("select chunk from component_chunks where digest = $1 order by n", digest)
            .fetch(&self.pool);
        while let Some(chunk) = chunks.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    /// Removes components that no version is made of, but for those that came within the last hour: their version may be on
    /// its way. Says how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_unused_components(&self) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from components c where created_at < now() - interval '1 hour'
            and not exists (select 1 from plugin_versions v where v.digest = c.digest)"
        );
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}
