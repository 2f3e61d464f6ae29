//! How many calls of an agent are under way, and how fast they follow each other, on all hosts together.

use std::time::Duration;

use armilla_domain::agent::Pace;
use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError};

/// A place among an agent's calls.
#[derive(Debug, Clone, Copy)]
pub struct AgentPlace {
    /// The call.
    pub call: Uuid,
    /// The host that makes it.
    pub host: Uuid,
    /// How long it is believed to be under way, where nobody says that it is over.
    pub believed_for: Duration,
}

/// Whether a call may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It may, and has its place.
    Now,
    /// Not before this much time; where places are taken, whenever one is given back.
    After(Duration),
}

impl Store {
    /// Takes a place among at most `most` calls at once, at `pace`, where each is given; by the database's clock.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_agent_place(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        place: AgentPlace,
        most: Option<u32>,
        pace: Option<Pace>,
    ) -> Result<Admitted, StoreError> {
        let new = sqlx::query!(
            "insert into agent_limits (workspace_id, agent_id) values ($1, $2) on conflict do nothing",
            workspace.uuid(),
            agent,
        );
        let (interval, burst) = pace.map_or((0.0, 0.0), |pace| (pace.interval.as_secs_f64(), pace.burst.as_secs_f64()));
        // The row's condition is asked again after a wait for its lock, so it holds for what the row is then.
        let taken = sqlx::query_scalar!(
            r#"update agent_limits l set
                calls = array(select c from unnest(l.calls, l.believed_until) as x(c, until) where until > now()) || $3::uuid,
                hosts = array(select h from unnest(l.hosts, l.believed_until) as x(h, until) where until > now()) || $4::uuid,
                believed_until = array(select until from unnest(l.believed_until) as x(until) where until > now())
                    || (now() + make_interval(secs => $5::float8)),
                next_at = case when $7::float8 > 0 then greatest(l.next_at, now()) + make_interval(secs => $7::float8) else l.next_at end
            where workspace_id = $1 and agent_id = $2
                and ($6::int is null or (select count(*) from unnest(l.believed_until) as x(until) where until > now()) < $6)
                and ($7::float8 = 0 or l.next_at - make_interval(secs => $8::float8) <= now())
            returning true as "taken!""#,
            workspace.uuid(),
            agent,
            place.call,
            place.host,
            place.believed_for.as_secs_f64(),
            most.map(|most| most as i32),
            interval,
            burst,
        );
        new.execute(&self.pool).await?;
        if taken.fetch_optional(&self.pool).await?.is_some() {
            return Ok(Admitted::Now);
        }
        let left: Option<f64> = sqlx::query_scalar!(
            r#"select greatest(0, extract(epoch from (next_at - make_interval(secs => $3::float8) - now())))::float8 as "left!"
            from agent_limits where workspace_id = $1 and agent_id = $2 and next_at > '-infinity'"#,
            workspace.uuid(),
            agent,
            burst,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Admitted::After(Duration::try_from_secs_f64(left.unwrap_or(0.0)).unwrap_or_default()))
    }

    /// Gives a place back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn give_agent_place_back(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        call: Uuid,
    ) -> Result<(), StoreError> {
        let given = sqlx::query!(
            "update agent_limits l set
                hosts = array(select h from unnest(l.calls, l.hosts) as x(c, h) where c <> $3),
                believed_until = array(select until from unnest(l.calls, l.believed_until) as x(c, until) where c <> $3),
                calls = array_remove(l.calls, $3)
            where workspace_id = $1 and agent_id = $2",
            workspace.uuid(),
            agent,
            call,
        );
        given.execute(&self.pool).await?;
        Ok(())
    }

    /// Gives back every place that a host held before it was stopped or killed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn give_agent_places_back_of(&self, host: Uuid) -> Result<(), StoreError> {
        let given = sqlx::query!(
            "update agent_limits l set
                calls = array(select c from unnest(l.calls, l.hosts) as x(c, h) where h <> $1),
                believed_until = array(select until from unnest(l.hosts, l.believed_until) as x(h, until) where h <> $1),
                hosts = array_remove(l.hosts, $1)
            where $1 = any(l.hosts)",
            host,
        );
        given.execute(&self.pool).await?;
        Ok(())
    }

    /// Until when the calls of an agent that are under way are believed to be so.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent_places(&self, workspace: WorkspaceId, agent: &str) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let places = sqlx::query_scalar!(
            r#"select until as "until!" from agent_limits l, unnest(l.believed_until) as x(until)
            where workspace_id = $1 and agent_id = $2 and until > now()"#,
            workspace.uuid(),
            agent,
        );
        Ok(places.fetch_all(&self.pool).await?)
    }
}
