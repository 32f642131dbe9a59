//! One world from its beginning to its end, and the checks on its way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gateway::room::Now;

use crate::checker::tokens;
use crate::faults::Fault;
use crate::plan::{Farewell, Plan};
use crate::reader::{Contents, document_of, text_of};
use crate::world::{GATEWAYS, SWEEP_EVERY, World};

/// Within that, what is known anywhere is known everywhere, without a tick: a few retries and reconnections.
const PROMPT: Duration = Duration::from_secs(12);
/// Every room has ticked.
const TICKED: Duration = Duration::from_secs(36);
/// Beyond ticks, checkpoints, the log's time to live and a sweep.
const REST: Duration = Duration::from_secs(240);

/// What went wrong, if something did.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| live(plan))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

fn live(plan: &Plan) {
    let mut world = World::new(plan.clone());
    world.run_until(plan.busy);
    if !plan.has(Fault::may_need_a_tick) {
        world.run_until(world.calm_from + PROMPT);
        world.check_equal();
    }
    world.run_until(world.calm_from + TICKED);
    world.check_equal();
    world.run_until(world.calm_from + REST);
    let text = world.check_equal();
    must!(text_of(world.cold()) == text, "a cold reader differs from the open rooms");
    world.check_contents();
    world.check_acknowledged(&tokens(&text));
    world.check_strangers();
    (0..world.strangers.len()).for_each(|stranger| world.stranger_leaves(stranger));

    match plan.farewell {
        Farewell::Leave => world.here().into_iter().for_each(|client| world.disconnect(client)),
        Farewell::Crash => crash_after_an_edit(&mut world),
    }
    let expected = text_of(world.cold());
    let contents = Contents::of(&mut document_of(world.cold()));
    world.run_until(world.now + SWEEP_EVERY * 2 + REST);
    for gateway in 0..GATEWAYS {
        must!(world.gateways[gateway].room.is_none(), "the room of gateway {gateway} did not end");
    }
    // Hours later the log is lost.
    must!(text_of(world.row()) == expected, "the database alone differs");
    must!(Contents::of(&mut document_of(world.row())) == contents, "the database alone has other structs");
    world.check_strangers();
    world.check_acknowledged(&tokens(&expected));
}

/// Every client edits once more and all gateways die as soon as that is acknowledged.
fn crash_after_an_edit(world: &mut World) {
    let here = world.here();
    here.iter().for_each(|client| world.edit_once(*client));
    let deadline = world.now + Duration::from_secs(60);
    let waits = |world: &World| here.iter().any(|client| world.clients[*client].waits());
    while waits(world) {
        must!(world.now < deadline, "the last edits are not acknowledged");
        world.run_until(world.now + Now::from_millis(5));
    }
    here.iter().for_each(|client| world.clients[*client].gone = true);
    (0..GATEWAYS).for_each(|gateway| world.crash(gateway));
    // What is on its way arrives.
    world.run_until(world.now + Duration::from_secs(3));
}
