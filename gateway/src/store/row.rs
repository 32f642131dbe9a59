//! A document's row as both databases keep it.

use super::checksum::Checksum;
use super::quarantine::RawRow;
use super::{Result, StoreError};
use crate::room::log::{Epoch, Position, Row};

/// State, epoch, n, rev, checksum, and whether the document was deleted.
pub(super) type RowColumns = (Vec<u8>, Option<i64>, Option<i64>, i64, Option<i64>, bool);

/// A document's `RowColumns`, whether it is in quarantine or not. Both databases know numbered parameters.
pub(super) const ROW: &str =
    "SELECT state, epoch, n, rev, checksum, deleted_at IS NOT NULL FROM documents WHERE id = $1";

/// The same if there is a row, and whether the document is in quarantine. Always one answer: what is in quarantine may be
/// in the log alone. The state of what is in quarantine stays where it is.
pub(super) type FoundColumns = (Option<Vec<u8>>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, bool, bool);

pub(super) const FIND: &str = "SELECT CASE WHEN q.document IS NULL THEN d.state END, d.epoch, d.n, d.rev, d.checksum, \
     d.deleted_at IS NOT NULL, q.document IS NOT NULL \
     FROM (SELECT CAST($1 AS text) AS id) asked LEFT JOIN documents d ON d.id = asked.id \
     LEFT JOIN quarantine q ON q.document = asked.id";

/// The row, if there is one that may be opened.
pub(super) fn find(document: &str, found: FoundColumns) -> Result<Option<Row>> {
    match found {
        (_, _, _, _, _, false, true) => Err(StoreError::Quarantined),
        (_, _, _, _, _, true, true) => Err(StoreError::Deleted),
        (None, None, None, None, None, false, false) => Ok(None),
        (Some(state), epoch, n, Some(rev), sum, deleted, false) => {
            read(document, (state, epoch, n, rev, sum, deleted)).map(Some)
        }
        _ => Err(StoreError::Corrupt(format!("the row of `{document}` has lost a column"))),
    }
}

/// The row as it is.
pub(super) fn raw(document: &str, (state, epoch, n, rev, sum, deleted): RowColumns) -> RawRow {
    let sound = sum.is_none_or(|sum| !deleted && sum == checksum(document, &state, (epoch, n), rev));
    RawRow { state: state.into(), epoch, n, rev, deleted, sound }
}

/// The row, unless the document was deleted or the columns are not what was written. Without a checksum it was written
/// by a gateway of an earlier schema.
pub(super) fn read(document: &str, (state, epoch, n, rev, sum, deleted): RowColumns) -> Result<Row> {
    if sum.is_some_and(|sum| deleted || sum != checksum(document, &state, (epoch, n), rev)) {
        return Err(StoreError::Corrupt(format!("the row of `{document}` is not what was written")));
    }
    if deleted {
        return Err(StoreError::Deleted);
    }
    Ok(Row { state: state.into(), position: position(document, epoch, n)?, rev })
}

/// Of all that is read of a row.
pub(super) fn checksum(document: &str, state: &[u8], (epoch, n): (Option<i64>, Option<i64>), rev: i64) -> i64 {
    let mut sum = Checksum::default().with(document.as_bytes()).with(state).with(&rev.to_le_bytes());
    for column in [epoch, n].into_iter().flatten() {
        sum = sum.with(&column.to_le_bytes());
    }
    sum.column()
}

/// An epoch as the database keeps it: the same 64 bits, signed, since databases know no unsigned numbers. Epochs are
/// compared for equality only, so the sign means nothing.
pub(crate) fn epoch_to_column(epoch: Epoch) -> i64 {
    epoch.0.cast_signed()
}

pub(crate) fn epoch_from_column(column: i64) -> Epoch {
    Epoch(column.cast_unsigned())
}

pub(super) fn position_columns(position: Option<Position>) -> (Option<i64>, Option<i64>) {
    position.map(|position| (epoch_to_column(position.epoch), position.n.cast_signed())).unzip()
}

fn position(document: &str, epoch: Option<i64>, n: Option<i64>) -> Result<Option<Position>> {
    match (epoch, n) {
        (None, None) => Ok(None),
        (Some(epoch), Some(n)) => Ok(Some(Position { epoch: epoch_from_column(epoch), n: n.cast_unsigned() })),
        _ => Err(StoreError::Corrupt(format!("document `{document}` has half a position"))),
    }
}
