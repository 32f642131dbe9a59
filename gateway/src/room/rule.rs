//! The rules of the log protocol, by name.
//!
//! Each is there because something was lost or differed without it (`docs/log.md`, "Why each rule is there"). Tests
//! take one out, in the room or in their simulated world, and show that the simulation notices. Scenarios do so with
//! five of them on a cluster.

/// One rule. `Limits::without` takes it out of a room, where the room is what keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing of a session is taken in before the document has admitted it.
    VerdictFirst,
    /// An acknowledgement waits for all that the room held when the update was taken in.
    AcknowledgeAllHeld,
    /// Local updates go to the log in the order in which they came.
    QueueInOrder,
    /// Somebody looks after logs that no open room advances. Kept by the shard.
    Sweep,
    /// A room ends only when all is in the database and the log knows it.
    LeaveWhenCovered,
    /// An append stops the log's expiry. Kept by the log server.
    PersistOnAppend,
    /// Only a log that is covered to its last entry expires. Kept by the log server.
    ExpireAtLastOnly,
    /// Entries are trimmed one checkpoint behind, and late. Kept by the log server.
    TrimLate,
    /// Nothing is appended under an epoch that is not head's. Kept by the log server.
    RefuseOtherEpochs,
    /// Nothing is appended under an epoch of an earlier reign of the server. Kept by the log server.
    Tenure,
    /// A join takes entries of every epoch in.
    ReadWholeStream,
    /// The row is written with compare-and-set, as the union with what it held. Kept by the store.
    UnionAndCompareAndSet,
    /// The position moves only to the next entry.
    ContiguousPosition,
    /// What a stream lacks after a loss is appended again, whether or not the database holds it.
    AppendWhatTheStreamLacks,
    /// A join that began on an earlier connection starts again.
    ConnectionGeneration,
    /// A tick also compares the row's `rev`.
    CompareRev,
    /// A COVER that does not come right behind the commit of a row asks first whether that row is still there.
    ConfirmBeforeCover,
    /// A row that is an earlier one than what is known of it is written again, with all that the room holds.
    RewriteEarlierRow,
}
