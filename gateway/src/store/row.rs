//! A document's row as both databases keep it.

use super::checksum::Checksum;
use super::{Result, StoreError};
use crate::room::log::{Epoch, Position, Row};

/// State, epoch, n, rev, checksum, and whether the document was deleted.
pub(super) type RowColumns = (Vec<u8>, Option<i64>, Option<i64>, i64, Option<i64>, bool);

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
