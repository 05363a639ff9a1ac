//! Medians and percentiles.

use serde_json::{Value, json};

/// The value that a `share` (0 to 1) of all values does not exceed; 0 of nothing.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index"
)]
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
    sorted.get(index).copied().unwrap_or_default()
}

/// The middle of the values; the mean of the two middle ones of an even number.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(at(half.saturating_sub(1)), at(half))
    } else {
        at(half)
    }
}

/// Median, extremes and every round.
pub(crate) fn summary(rounds: &[f64]) -> Value {
    let of = |pick: fn(f64, f64) -> f64| rounds.iter().copied().reduce(pick).unwrap_or_default();
    json!({
        "median": rounded(median(rounds)),
        "min": rounded(of(f64::min)),
        "max": rounded(of(f64::max)),
        "rounds": rounds.iter().map(|value| rounded(*value)).collect::<Vec<_>>(),
    })
}

/// Three digits behind the point.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (percentile(&values, 0.99), percentile(&values, 0.5), percentile(&values, 1.0)),
            (99.0, 50.0, 100.0)
        );
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert_eq!(percentile(&[], 0.99), 0.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }
}
