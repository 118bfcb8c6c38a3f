//! A program that embeds Tasker: what it builds, runs, lists and changes, on a store in memory and in virtual time.

mod build;
mod place;
mod run;
mod sleep;
