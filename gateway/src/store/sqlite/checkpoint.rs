//! One document's checkpoint, in two steps: what it means for the history, before the transaction that it shares with
//! others', and what it writes there.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::damage::unavailable;
use super::past::{self, json};
use crate::history::policy::{ClientId, Past, Policy, clocks};
use crate::room::log::Position;
use crate::store::Result;
use crate::store::archive::{Packed, pack_here, sound};
use crate::store::row;

/// What is to be written.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) document: String,
    pub(super) expected: i64,
    pub(super) state: Bytes,
    pub(super) position: Option<Position>,
    pub(super) policy: Policy,
}

/// What it writes beside the row.
#[derive(Debug)]
pub(super) struct Planned {
    grown: Vec<(ClientId, u32)>,
    version: Option<Version>,
}

/// The row that is replaced.
#[derive(Debug)]
struct Version {
    created_at: i64,
    authors: Vec<ClientId>,
    packed: Packed,
}

impl Checkpoint {
    /// None: the row is another one by now. If it becomes another one behind this, the compare-and-set finds out, and
    /// what was planned goes with it.
    pub(super) fn plan(&self, db: &Connection) -> Result<Option<Planned>> {
        let past = match self.expected {
            0 => Past::default(),
            expected => match self.past(db)? {
                Some(past) if past.rev == expected => past,
                _ => return Ok(None),
            },
        };
        let plan = self.policy.plan(&past, &clocks(&self.state));
        let version = match plan.version {
            Some(authors) => sound(&self.document, self.pack_row(db))?.map(|packed| Version {
                created_at: past.updated_at,
                authors,
                packed,
            }),
            None => None,
        };
        Ok(Some(Planned { grown: plan.grown, version }))
    }

    fn past(&self, db: &Connection) -> Result<Option<Past>> {
        let row = || db.prepare_cached(past::ROW)?.query_row([&self.document], |row| row.try_into()).optional();
        let Some(row) = row().map_err(unavailable)? else { return Ok(None) };
        let authors = || {
            let mut query = db.prepare_cached(past::AUTHORS)?;
            query.query_map([&self.document], |row| row.try_into())?.collect()
        };
        let authors: rusqlite::Result<Vec<_>> = authors();
        past::past(row, authors.map_err(unavailable)?).map(Some)
    }

    /// The row's state, ready to become a version.
    fn pack_row(&self, db: &Connection) -> Result<Packed> {
        let row = || db.prepare_cached(row::ROW)?.query_row([&self.document], |row| row.try_into()).optional();
        match row().map_err(unavailable)? {
            Some(columns) => pack_here(&row::read(&self.document, columns)?.state),
            None => pack_here(&[]),
        }
    }

    /// False: the row is not the expected one, and nothing was written.
    pub(super) fn write(&self, db: &Connection, planned: &Planned) -> rusqlite::Result<bool> {
        let (epoch, n) = row::position_columns(self.position);
        let query = if self.expected == 0 {
            "INSERT INTO documents (state, epoch, n, checksum, id, rev) VALUES (?, ?, ?, ?, ?, ? + 1) \
             ON CONFLICT DO NOTHING"
        } else {
            "UPDATE documents SET state = ?, epoch = ?, n = ?, checksum = ?, rev = rev + 1, updated_at = unixepoch() \
             WHERE id = ? AND rev = ? AND deleted_at IS NULL"
        };
        let checksum = row::checksum(&self.document, &self.state, (epoch, n), self.expected + 1);
        let values = params![self.state.as_ref(), epoch, n, checksum, self.document, self.expected];
        if db.prepare_cached(query)?.execute(values)? != 1 {
            return Ok(false);
        }
        if let Some(version) = &planned.version {
            self.keep(db, version)?;
        }
        self.note_authors(db, &planned.grown)?;
        Ok(true)
    }

    /// Keeps the row that was replaced as an automatic version, and no more of those than the policy allows.
    fn keep(&self, db: &Connection, version: &Version) -> rusqlite::Result<()> {
        let (document, packed) = (&self.document, &version.packed);
        let query = "INSERT INTO versions (document, rev, created_at, authors, bytes, state) VALUES (?, ?, ?, ?, ?, ?)";
        let authors = json(&version.authors);
        let values = params![document, self.expected, version.created_at, authors, packed.bytes, packed.compressed];
        db.prepare_cached(query)?.execute(values)?;
        let query = "DELETE FROM versions WHERE document = ?1 AND name IS NULL AND id <= \
                     (SELECT id FROM versions WHERE document = ?1 AND name IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        db.prepare_cached(query)?.execute(params![document, self.policy.keep]).map(drop)
    }

    /// Writes down whose writing has grown in this row.
    fn note_authors(&self, db: &Connection, grown: &[(ClientId, u32)]) -> rusqlite::Result<()> {
        let query = "INSERT INTO authors (document, client, clock, last_rev) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (document, client) DO UPDATE \
                     SET clock = excluded.clock, last_rev = excluded.last_rev, last_seen = unixepoch()";
        let mut query = db.prepare_cached(query)?;
        for (client, clock) in grown {
            query.execute(params![self.document, client.cast_signed(), clock, self.expected + 1])?;
        }
        Ok(())
    }
}
