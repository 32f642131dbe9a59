//! What no client should send. Each act is one update.

use bytes::Bytes;
use editorcluster_core::document::clocks;
use rand::Rng as _;
use yrs::updates::encoder::Encode as _;
use yrs::{ClientID, StateVector};

use super::{Stranger, TWIN};
use crate::forgery::{Forgery, Id, Place, array, beginning, collected, deleted, text, update};

/// Never speaks.
const NOBODY: u64 = 9000;

impl Stranger {
    /// Refers to itself, or to what it will write.
    pub(super) fn own_future(&mut self) -> Bytes {
        let first @ (client, clock) = (self.writer(), self.clock);
        let future = (client, clock + self.random.random_range(0..3));
        update(first, text(self.reference(future), "[own]"))
    }

    fn reference(&mut self, to: Id) -> Place {
        [Place::Behind(to), Place::Before(to), Place::In(to)][self.random.random_range(0..3)]
    }

    pub(super) fn empty(&mut self) -> Bytes {
        let first = (self.writer(), self.clock);
        let found = match self.random.random_range(0..3) {
            0 => text(Place::Root("t"), ""),
            1 => deleted(Place::Root("t"), 0),
            _ => collected(0),
        };
        // Beside something well-formed.
        let token = text(Place::Root("t"), "[beside]");
        Forgery::default().section(first, vec![token, found]).bytes()
    }

    pub(super) fn dangling(&mut self) -> Bytes {
        let unknown = (NOBODY + self.random.random_range(0..5), self.random.random_range(0..50));
        let place = self.reference(unknown);
        update((1300 + self.number, self.next(1300 + self.number)), text(place, "[dangling]"))
    }

    /// Two wait for each other, for good or until one of them has had enough.
    pub(super) fn chain(&mut self) -> Bytes {
        let (own, other) = (1200 + self.number, 1200 + (self.number ^ 1));
        let clock = self.next(own);
        let enough = self.random.random_bool(0.3);
        let place = if enough { Place::Root("h") } else { Place::Behind((other, clock)) };
        let mut chain = Forgery::default().section((own, clock), vec![text(place, "c")]);
        if self.random.random_bool(0.2) {
            chain = chain.section((other, clock), vec![text(Place::Behind((own, clock)), "c")]);
        }
        chain.bytes()
    }

    pub(super) fn parent_is_no_type(&mut self) -> Bytes {
        let client = 3000 + self.number;
        let parent = (self.writer(), self.random.random_range(0..=self.clock));
        update((client, self.next(client)), text(Place::In(parent), "[orphan]"))
    }

    /// The beginning of what somebody wrote, or its end.
    pub(super) fn a_part(&mut self) -> Bytes {
        let whole = self.anything_told();
        let length = self.random.random_range(1..5);
        let Some(part) = beginning(&whole, length) else { return whole };
        if self.random.random_bool(0.5) {
            return part;
        }
        let cut = clocks(&part).expect("it is an update").into_iter().map(|(client, end)| (ClientID::new(client), end));
        let vector = StateVector::new(cut.collect()).encode_v1();
        yrs::diff_updates_v1(&whole, &vector).expect("it is an update").into()
    }

    /// The clocks of a client that others use as well, with another content.
    pub(super) fn twin(&mut self) -> Bytes {
        let next = self.next(TWIN);
        let clock = next.saturating_sub(self.random.random_range(0..4));
        let place = match (clock, self.random.random_range(0..3)) {
            (1.., 0) => Place::Behind((TWIN, clock - 1)),
            (1.., 1) => Place::In((TWIN, self.random.random_range(0..clock))),
            _ => Place::Root("h"),
        };
        let length = self.random.random_range(1..4);
        let found = match self.random.random_range(0..4) {
            0 => text(place, &"xyz"[..length]),
            1 => array(place),
            2 => deleted(place, length as u64),
            _ => collected(length as u64),
        };
        update((TWIN, clock), found)
    }

    pub(super) fn unknown_deletion(&mut self) -> Bytes {
        let client = [NOBODY, 1200 + self.number, self.writer()][self.random.random_range(0..3)];
        Forgery::deletion(client, self.next(client), self.random.random_range(1..20))
    }

    pub(super) fn truncated(&mut self) -> Bytes {
        let whole = self.anything_told();
        whole.slice(..self.random.random_range(0..whole.len()))
    }

    pub(super) fn enormous(&mut self) -> Bytes {
        let client = 4000 + self.number;
        match self.random.random_range(0..6) {
            0 => update((client, u32::MAX.into()), text(Place::Root("h"), "end")),
            1 => update((client, (1 << 53) - 1), text(Place::Root("h"), "end")),
            2 => update((client, 0), collected(u64::from(u32::MAX) + 1)),
            3 => update((client, self.next(client)), collected(u32::MAX.into())),
            4 => Forgery::deletion(client, 0, u32::MAX.into()),
            _ => Forgery::deletion(client, 1 << 31, 1 << 31),
        }
    }

    /// Types in types, deeper each time; or the end of them all.
    pub(super) fn nest(&mut self) -> Bytes {
        let client = 1100 + self.number;
        let clock = self.next(client);
        if clock > 0 && self.random.random_bool(0.2) {
            return Forgery::deletion(client, 0, 1);
        }
        let depth = [3, 3, 30, 600][self.random.random_range(0..4)];
        let place = |at: u64| if at == 0 { Place::Root("h") } else { Place::In((client, at - 1)) };
        let types = (clock..clock + depth).map(|at| array(place(at))).collect();
        Forgery::default().section((client, clock), types).bytes()
    }
}
