//! The pieces of agents' answers, for whoever follows a run on the host that drives it. Nothing of them is kept: the whole answer is in
//! the journal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use armilla_domain::id::RunId;
use tokio::sync::mpsc;

/// Pieces that wait for a slow reader; beyond them pieces are left out for it, and the whole answer comes at the end.
const PIECES_KEPT_MAX: usize = 1_024;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A call begins, and what came of another one before it is void.
    Begins,
    /// What the answer goes on with.
    Text(String),
}

/// Who follows which run.
#[derive(Clone, Default)]
pub(crate) struct Deltas(Arc<Mutex<HashMap<RunId, mpsc::Sender<Piece>>>>);

/// The pieces of one run's answers, as they come.
pub struct AnswerPieces {
    run: RunId,
    deltas: Deltas,
    pieces: mpsc::Receiver<Piece>,
}

impl Deltas {
    /// Follows a run, from now on. To be called before the run begins.
    pub(crate) fn follow(&self, run: RunId) -> AnswerPieces {
        let (sender, pieces) = mpsc::channel(PIECES_KEPT_MAX);
        self.lock().insert(run, sender);
        AnswerPieces { run, deltas: self.clone(), pieces }
    }

    pub(crate) fn is_followed(&self, run: RunId) -> bool {
        self.lock().contains_key(&run)
    }

    pub(crate) fn tell(&self, run: RunId, text: &str) {
        self.send(run, Piece::Text(text.to_owned()));
    }

    /// An answer begins: what came before was that of a call that failed, or no answer yet.
    pub(crate) fn begin(&self, run: RunId) {
        self.send(run, Piece::Begins);
    }

    fn send(&self, run: RunId, piece: Piece) {
        if let Some(sender) = self.lock().get(&run) {
            // A reader that is too slow, or gone, misses this piece.
            let _ = sender.try_send(piece);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, mpsc::Sender<Piece>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnswerPieces {
    /// The next piece. Never ends by itself: whoever follows knows when the run has ended.
    pub async fn next(&mut self) -> Piece {
        match self.pieces.recv().await {
            Some(piece) => piece,
            None => std::future::pending().await,
        }
    }

    /// The next piece, if there is one already.
    pub fn try_next(&mut self) -> Option<Piece> {
        self.pieces.try_recv().ok()
    }
}

impl Drop for AnswerPieces {
    fn drop(&mut self) {
        self.deltas.lock().remove(&self.run);
    }
}
