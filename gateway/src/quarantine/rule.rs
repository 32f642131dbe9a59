//! How many strikes are enough. Pure.

use std::time::Duration;

/// An older strike does not count: two accidents that far apart have nothing to do with each other.
pub const WITHIN: Duration = Duration::from_secs(3600);

/// A strike as far as the rule goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub age: Duration,
    /// Documents that the process was working on when it died, this one among them.
    pub suspects: u32,
}

/// Whether strikes of so many processes put their document into quarantine.
///
/// Never one: a process that is killed from outside, or for the memory that others use, was working on something too.
/// Two are enough when the document was the only one or one of two each time. One of k documents bears a k-th of the
/// blame, and the blame must be whole: neighbours that are opened at the same moments as the guilty one get off, since
/// they would have to be there every time.
pub fn is_enough(strikes: &[Counted]) -> bool {
    let recent = strikes.iter().filter(|strike| strike.age <= WITHIN);
    let (mut count, mut blame) = (0, 0.0);
    for strike in recent {
        count += 1;
        blame += 1.0 / f64::from(strike.suspects.max(1));
    }
    // Three thirds are a little less than one.
    count >= 2 && blame > 0.999
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_are_enough_when_the_blame_is_whole_within_an_hour() {
        // Each strike: minutes since, documents that were being worked on.
        let cases: [(&[(u64, u32)], bool); 14] = [
            (&[], false),
            (&[(0, 1)], false),
            (&[(0, 1), (0, 1)], true),
            (&[(0, 1), (60, 1)], true),
            (&[(0, 1), (61, 1)], false),
            (&[(61, 1), (61, 1), (0, 1)], false),
            (&[(0, 2), (5, 2)], true),
            (&[(0, 1), (5, 64)], true),
            (&[(0, 3), (5, 3)], false),
            (&[(0, 3), (5, 3), (9, 3)], true),
            (&[(0, 3), (5, 3), (61, 3)], false),
            (&[(0, 2), (5, 4)], false),
            (&[(0, 8); 7], false),
            (&[(0, 8); 8], true),
        ];
        for (strikes, enough) in cases {
            let counted: Vec<_> = strikes
                .iter()
                .map(|(minutes, suspects)| Counted { age: Duration::from_secs(minutes * 60), suspects: *suspects })
                .collect();
            assert_eq!(is_enough(&counted), enough, "{strikes:?}");
        }
    }
}
