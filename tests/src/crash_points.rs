//! Every place of both stores where something can go wrong: before and after each statement and each commit.
//!
//! A scripted life asks a store for everything that there is to ask. It is lived once without a fault, to see which
//! statements come when, and then once for each of these points and each kind of fault. Whoever is told that something
//! failed goes on as a worker or an operator would: he asks again what may be asked again, looks when he cannot know, opens
//! a store that does not recover, and another process takes over from one that ended. In the end nothing may be violated,
//! what was acknowledged must be there, once, and what was said to have changed nothing must have changed nothing.

mod ground;
mod life;
mod play;
mod points;
mod saboteur;
mod script;
mod suite;

pub use ground::{Ground, Place};
pub use play::{Ended, Played, Span, live_on, live_through, play};
pub use points::{Kind, Plan, Point, Wanted, plans, second};
pub use saboteur::{Planned, Saboteur};
pub(crate) use suite::on_all_cores;
pub use suite::{Outcome, Suite};
