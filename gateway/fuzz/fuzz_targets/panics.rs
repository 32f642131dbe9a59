//! Panics of yrs, which the gateway catches and so must the target.

use std::panic;
use std::sync::Once;

/// Runs what calls yrs through the gateway. libFuzzer's hook ends the process at every panic, also at one that is
/// caught; here it does so unless the panic comes from yrs.
pub(crate) fn let_yrs(work: impl FnOnce()) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let strict = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // What yrs sorts by is no order for some updates, and the standard library panics at that on its behalf.
            let of_yrs = |file: &str| file.contains("/yrs-") || file.contains("/core/src/slice/sort/");
            if !info.location().is_some_and(|at| of_yrs(at.file())) {
                strict(info);
            }
        }));
    });
    work();
}
