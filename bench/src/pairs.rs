//! Two builds of the gateway, measured in turn: the medians of each figure, and their ratio.

use std::collections::BTreeMap;

use crate::report::Figure;
use crate::subject::Kind;

/// The values of one figure, in the order in which they were measured.
#[derive(Default)]
struct Pair {
    before: Vec<f64>,
    now: Vec<f64>,
}

/// All figures of both builds.
#[derive(Default)]
pub struct Pairs(BTreeMap<(&'static str, &'static str), Pair>);

impl Pairs {
    /// Takes a figure of either build; others are ignored.
    pub fn take(&mut self, figure: &Figure) {
        let (now, before) = (Kind::Gateway.name(), Kind::Before.name());
        let pair = self.0.entry((figure.scenario, figure.metric)).or_default();
        match figure.subject {
            subject if subject == now => pair.now.push(figure.value),
            subject if subject == before => pair.before.push(figure.value),
            _ => {}
        }
    }

    /// Prints a line for each figure that both builds have.
    pub fn print(&mut self) {
        self.0.retain(|_, pair| !pair.before.is_empty() && !pair.now.is_empty());
        if self.0.is_empty() {
            return;
        }
        println!("\n     {:<30} {:>12} {:>12} {:>7}   now, each round", "median of", "before", "now", "ratio");
        for ((scenario, metric), pair) in &self.0 {
            let (before, now) = (median(&pair.before), median(&pair.now));
            let each = pair.now.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(" ");
            println!("{scenario:<4} {metric:<30} {before:>12.2} {now:>12.2} {:>7.3}   {each}", now / before);
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 3.0, 2.0]), median(&[5.0])], [2.0, 2.5, 5.0]);
    }
}
