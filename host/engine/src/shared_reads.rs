//! One read for all who ask for the same thing meanwhile.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Reads of what several ask for at once. Whoever asks while a read is under way shares the next one, so that every answer was read after
/// it was asked for: what somebody changed before is in it.
pub(crate) struct SharedReads<K, V>(Arc<Going<K, V>>);

/// For each thing that is being read, those who wait for the next read of it.
struct Going<K, V>(Mutex<HashMap<K, Vec<oneshot::Sender<V>>>>);

impl<K, V> Default for SharedReads<K, V> {
    fn default() -> Self {
        Self(Arc::new(Going(Mutex::default())))
    }
}

impl<K, V> Going<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<oneshot::Sender<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> SharedReads<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// What `read` gives, which is called once for all who wait. It goes on though whoever asked waits no more. `None` where it panicked.
    pub(crate) async fn get<F>(&self, key: K, read: impl Fn() -> F + Send + 'static) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        if let Some(answer) = self.wait_for_next(&key, answer) {
            let round = Round { going: Arc::clone(&self.0), key, ended: false };
            tokio::spawn(round.read_for(vec![answer], read));
        }
        answered.await.ok()
    }

    /// Takes a place among those who wait for the next read; gives it back where none is under way, from now on one is.
    fn wait_for_next(&self, key: &K, answer: oneshot::Sender<V>) -> Option<oneshot::Sender<V>> {
        let mut going = self.0.lock();
        if let Some(waiting) = going.get_mut(key) {
            waiting.push(answer);
            return None;
        }
        going.insert(key.clone(), Vec::new());
        Some(answer)
    }
}

/// The reads of one thing, one after another, while anybody asks for it.
struct Round<K: Eq + Hash, V> {
    going: Arc<Going<K, V>>,
    key: K,
    ended: bool,
}

impl<K: Eq + Hash, V: Clone> Round<K, V> {
    async fn read_for<F: Future<Output = V>>(mut self, mut waiting: Vec<oneshot::Sender<V>>, read: impl Fn() -> F) {
        loop {
            let value = read().await;
            for answer in waiting {
                // Who does not wait any more needs none.
                let _ = answer.send(value.clone());
            }
            waiting = self.who_waits();
            if waiting.is_empty() {
                self.ended = true;
                return;
            }
        }
    }

    /// Nobody, and then no read is under way any more.
    fn who_waits(&self) -> Vec<oneshot::Sender<V>> {
        let mut going = self.going.lock();
        let waiting = going.get_mut(&self.key).map(std::mem::take).unwrap_or_default();
        if waiting.is_empty() {
            going.remove(&self.key);
        }
        waiting
    }
}

impl<K: Eq + Hash, V> Drop for Round<K, V> {
    /// After a panic: nobody may wait for a read that never comes.
    fn drop(&mut self) {
        if !self.ended {
            self.going.lock().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Reads that each take a turn of `turns`, and answer how many began before them.
    fn counting(turns: &Arc<Semaphore>, begun: &Arc<AtomicUsize>) -> impl Fn() -> BoxedRead + Send + use<> {
        let (turns, begun) = (Arc::clone(turns), Arc::clone(begun));
        move || {
            let turns = Arc::clone(&turns);
            let number = begun.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                turns.acquire().await.unwrap().forget();
                number
            })
        }
    }

    type BoxedRead = std::pin::Pin<Box<dyn Future<Output = usize> + Send>>;

    #[tokio::test]
    async fn whoever_asks_while_a_read_is_under_way_shares_the_one_after_it() {
        let (reads, turns, begun) = (SharedReads::default(), Arc::new(Semaphore::new(0)), Arc::default());
        let ask = || reads.get("a", counting(&turns, &begun));
        let goes_on = async {
            while begun.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let later = async { tokio::join!(ask(), ask(), ask()) };
            let turns = async {
                tokio::task::yield_now().await;
                turns.add_permits(2);
            };
            tokio::join!(later, turns).0
        };
        let (first, later) = tokio::join!(ask(), goes_on);
        assert_eq!((first, later), (Some(0), (Some(1), Some(1), Some(1))));
    }

    #[tokio::test]
    async fn what_is_asked_for_after_a_read_is_read_anew_and_another_thing_by_itself() {
        let (reads, turns, begun) = (SharedReads::default(), Arc::new(Semaphore::new(9)), Arc::default());
        assert_eq!(reads.get("a", counting(&turns, &begun)).await, Some(0));
        assert_eq!(reads.get("a", counting(&turns, &begun)).await, Some(1));
        let both = tokio::join!(reads.get("a", counting(&turns, &begun)), reads.get("b", counting(&turns, &begun)));
        assert_ne!(both.0, both.1);
        assert!(reads.0.lock().is_empty(), "nothing is kept of what nobody asks for");
    }

    #[tokio::test]
    async fn a_read_that_panics_keeps_nobody_waiting() {
        let reads: SharedReads<&str, usize> = SharedReads::default();
        let panics = || async { panic!("as a fault of this program would") };
        assert_eq!(reads.get("a", panics).await, None);
        assert_eq!(reads.get("a", || async { 7 }).await, Some(7));
    }
}
