//! The cards that are known: so many at most, each for so long at most.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armilla_domain::agent::AgentConfig;
use armilla_egress::HeaderMap;
use lru::LruCache;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::card::Interface;
use super::{CARD_AGE_MAX, CARDS_MAX};

/// An endpoint, and the digest of the secret that its card was asked for with: another caller may be shown another card.
pub(crate) type Key = (String, Option<[u8; 32]>);

pub(crate) fn key(agent: &AgentConfig, secret: Option<&str>) -> Key {
    (agent.endpoint.clone(), secret.map(|secret| Sha256::digest(secret).into()))
}

/// What was read of cards, each with the instant until which it is believed.
pub(crate) struct Cards {
    known: Mutex<Known>,
}

type Known = LruCache<Key, (Arc<[Interface]>, Instant)>;

impl Default for Cards {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::new(NonZeroUsize::new(CARDS_MAX).unwrap_or(NonZeroUsize::MIN))) }
    }
}

impl Cards {
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Arc<[Interface]>> {
        let mut known = self.locked();
        let (interfaces, until) = known.get(key)?;
        if now < *until {
            return Some(Arc::clone(interfaces));
        }
        known.pop(key);
        None
    }

    pub(crate) fn put(&self, key: Key, interfaces: Arc<[Interface]>, now: Instant, age: Duration) {
        self.locked().put(key, (interfaces, now + age));
    }

    /// The next call asks for the card again.
    pub(crate) fn forget(&self, key: &Key) {
        self.locked().pop(key);
    }

    fn locked(&self) -> MutexGuard<'_, Known> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a card is believed, by its own `Cache-Control`, up to [`CARD_AGE_MAX`].
pub(crate) fn age(headers: &HeaderMap) -> Duration {
    let texts = headers.get_all("cache-control").iter().filter_map(|value| value.to_str().ok());
    let directives = texts.flat_map(|text| text.split(',')).map(|directive| directive.trim().to_ascii_lowercase());
    let ages = directives.filter_map(|directive| match directive.as_str() {
        "no-cache" | "no-store" => Some(0),
        other => other.strip_prefix("max-age=")?.trim_matches('"').parse().ok(),
    });
    ages.map(Duration::from_secs).fold(CARD_AGE_MAX, Duration::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(endpoint: usize) -> Key {
        (format!("http://{endpoint}"), None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_card_is_known_until_its_time_is_over_or_it_is_forgotten() {
        let (cards, now) = (Cards::default(), Instant::now());
        let key = named(1);
        cards.put(key.clone(), Arc::new([]), now, CARD_AGE_MAX);
        assert!(cards.get(&key, now + CARD_AGE_MAX - Duration::from_millis(1)).is_some());
        assert!(cards.get(&key, now + CARD_AGE_MAX).is_none());
        cards.put(key.clone(), Arc::new([]), now, CARD_AGE_MAX);
        cards.forget(&key);
        assert!(cards.get(&key, now).is_none());
        cards.put(key.clone(), Arc::new([]), now, Duration::ZERO);
        assert!(cards.get(&key, now).is_none());
        let with_secret = (key.0.clone(), Some([0; 32]));
        cards.put(with_secret.clone(), Arc::new([]), now, CARD_AGE_MAX);
        assert!(cards.get(&with_secret, now).is_some() && cards.get(&key, now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_cards_are_known_and_the_longest_unused_goes_first() {
        let (cards, now) = (Cards::default(), Instant::now());
        for endpoint in 0..=CARDS_MAX {
            cards.put(named(endpoint), Arc::new([]), now, CARD_AGE_MAX);
            assert!(cards.get(&named(0), now).is_some());
        }
        assert!(cards.get(&named(1), now).is_none());
        assert_eq!(cards.locked().len(), CARDS_MAX);
    }

    #[test]
    fn a_server_may_want_its_card_asked_for_sooner_and_not_later() {
        for (said, seconds) in [
            (None, 300),
            (Some("public, max-age=60"), 60),
            (Some("Max-Age=\"7\""), 7),
            (Some("max-age=86400"), 300),
            (Some("max-age=60, no-cache"), 0),
            (Some("no-store"), 0),
            (Some("max-age=soon"), 300),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("cache-control", said.parse().unwrap());
            }
            assert_eq!(age(&headers), Duration::from_secs(seconds), "{said:?}");
        }
    }
}
