//! Reads what the operator wants to know out of a gateway's metrics in Prometheus' text format.

use super::PodFigures;

const CONNECTIONS: &str = "editorcluster_connections";
const DOCUMENTS: &str = "editorcluster_documents";
const LOG_UP: &str = "editorcluster_log_up";
const STORE_UP: &str = "editorcluster_store_up";

/// The figures, each summed over its labels; nothing if connections or documents are not there or are no count.
pub fn figures(text: &str) -> Option<PodFigures> {
    Some(PodFigures {
        connections: sum(text, CONNECTIONS)?,
        documents: sum(text, DOCUMENTS)?,
        without_log: sum(text, LOG_UP) == Some(0),
        without_store: sum(text, STORE_UP) == Some(0),
    })
}

fn sum(text: &str, metric: &str) -> Option<u64> {
    let mut total = None;
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix(metric) else { continue };
        // A label's value may hold any character, so the value stands behind the last brace and not the first.
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once('}')?.1,
            None if rest.starts_with([' ', '\t']) => rest,
            None => continue,
        };
        let value: f64 = value.split_whitespace().next()?.parse().ok()?;
        // Every count below 2^53 is exact as an f64; more connections than that is nonsense.
        if !(0.0..9_007_199_254_740_992.0).contains(&value) {
            return None;
        }
        total = Some(total.unwrap_or(0) + value.round() as u64);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_gauges_and_sums_their_labels() {
        let text = "# HELP editorcluster_connections open\n# TYPE editorcluster_connections gauge\n\
                    editorcluster_connections{shard=\"0\"} 3\neditorcluster_connections{shard=\"} 9\"} 4 1700000000\n\
                    editorcluster_connections_peak 100\neditorcluster_documents 2.0e0\n";
        assert_eq!(figures(text), Some(PodFigures { connections: 7, documents: 2, ..PodFigures::default() }));
    }

    #[test]
    fn a_gateway_is_without_log_or_database_only_when_it_says_so() {
        let reach = |lines: &str| {
            let found = figures(&format!("editorcluster_connections 1\neditorcluster_documents 1\n{lines}")).unwrap();
            (found.without_log, found.without_store)
        };
        assert_eq!(reach(""), (false, false), "an older gateway");
        assert_eq!(reach("editorcluster_log_up 1\neditorcluster_store_up 0\n"), (false, true));
        assert_eq!(reach("editorcluster_log_up 0\neditorcluster_store_up 1\n"), (true, false));
    }

    #[test]
    fn what_is_no_count_is_no_figure() {
        for bad in ["NaN", "-1", "+Inf", "many", "", "1e300"] {
            let text = format!("editorcluster_documents 1\neditorcluster_connections {bad}\n");
            assert_eq!(figures(&text), None, "{bad}");
        }
        assert_eq!(figures("editorcluster_connections 1\n"), None, "documents are not there");
    }
}
