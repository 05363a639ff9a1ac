//! Work on many envelopes, on as many blocking threads as can run at once.

use std::{sync::LazyLock, thread::available_parallelism};

use tokio::task::spawn_blocking;

/// Items for which another thread is worth waking: some milliseconds of verifying.
const WORTH: usize = 32;

/// Applies `work` to every item; the results come in the items' order, or not at all if `work` panics.
pub(super) async fn map<T, R>(
    mut items: Vec<T>,
    work: impl Fn(T) -> R + Clone + Send + 'static,
) -> Option<Vec<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    // Asking costs several system calls.
    static THREADS: LazyLock<usize> =
        LazyLock::new(|| available_parallelism().map_or(1, std::num::NonZero::get));
    let threads = *THREADS;
    let share = items.len().div_ceil(threads).max(WORTH);
    let mut chunks = Vec::with_capacity(threads);
    while items.len() > share {
        chunks.push(items.split_off(items.len() - share));
    }
    chunks.push(items);
    let running: Vec<_> = chunks
        .into_iter()
        .map(|chunk| {
            let work = work.clone();
            spawn_blocking(move || chunk.into_iter().map(work).collect::<Vec<R>>())
        })
        .collect();
    let mut results = Vec::new();
    // Chunks were cut from the back.
    for chunk in running.into_iter().rev() {
        results.extend(chunk.await.ok()?);
    }
    Some(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_keep_the_order_of_their_items() {
        for len in [0, 1, WORTH, WORTH + 1, 10 * WORTH + 7] {
            let items: Vec<usize> = (0..len).collect();
            let doubled = map(items.clone(), |n| n * 2).await;
            assert_eq!(doubled, Some(items.into_iter().map(|n| n * 2).collect()));
        }
    }

    #[tokio::test]
    async fn a_panic_leaves_no_half_of_the_results() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(map(items, |n| assert_ne!(n, 50)).await, None);
    }
}
