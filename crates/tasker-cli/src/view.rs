//! Shows what tasks are doing while they run.
//!
//! The drawing is a pure function of a model; the model follows a store; the screen writes what has changed.

pub(crate) mod follow;
pub(crate) mod model;
pub(crate) mod plain;
pub(crate) mod render;
pub(crate) mod screen;
pub(crate) mod tasks;
pub(crate) mod terminal;
pub(crate) mod text;

use tasker::{Template, Transition};
use tasker_types::Timestamp;

use crate::args::Common;
use model::Model;
use terminal::{Kind, Terminal};
use text::{Line, Style};

/// Shows progress on standard error, in the way that fits what is at its other end.
#[derive(Clone, Debug)]
pub(crate) struct View {
    terminal: Terminal,
    manner: Manner,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Drawn in place.
    Live,
    /// A line for each transition.
    Lines,
    /// Not at all.
    Silent,
}

impl View {
    /// Returns the view that fits the terminal and the options.
    pub(crate) fn new(terminal: &Terminal, common: &Common) -> Self {
        let manner = match terminal.kind() {
            _ if common.quiet => Manner::Silent,
            Kind::Live => Manner::Live,
            Kind::Lines => Manner::Lines,
        };
        Self {
            terminal: terminal.clone(),
            manner,
        }
    }

    /// Returns a view that shows nothing.
    pub(crate) fn silent(terminal: &Terminal) -> Self {
        Self {
            terminal: terminal.clone(),
            manner: Manner::Silent,
        }
    }

    /// Tells whether transitions are told.
    pub(crate) fn tells(&self) -> bool {
        self.manner == Manner::Lines
    }

    /// Tells what a running step says of itself.
    pub(crate) fn tell_said(&self, now: Timestamp, step: &str, said: &str) {
        if self.tells() {
            self.terminal.line(&plain::said(now, step, said));
        }
    }

    /// Tells of a transition of one of several tasks.
    pub(crate) fn tell_of(&self, transition: &Transition, template: &Template) {
        if self.tells() {
            let mut line = Line::default();
            line.push(Style::Dim, &format!("{}  ", transition.task));
            line.extend(plain::line(transition, template, plain::Detail::Progress));
            self.terminal.line(&line);
        }
    }

    /// Tells of a transition, if the view is one that tells.
    pub(crate) fn tell(&self, transition: &Transition, template: &Template) {
        if self.tells() {
            self.terminal
                .line(&plain::line(transition, template, plain::Detail::Progress));
        }
    }

    /// Shows a task, if the view is one that draws.
    pub(crate) fn show(&self, model: &Model, now: Timestamp) {
        if self.manner == Manner::Live {
            let size = self.terminal.size();
            self.terminal.draw(render::render(model, now, size), size);
        }
    }

    /// Shows lines that were drawn elsewhere, if the view is one that draws.
    pub(crate) fn show_lines(&self, draw: impl FnOnce(render::Size) -> Vec<Line>) {
        if self.manner == Manner::Live {
            let size = self.terminal.size();
            self.terminal.draw(draw(size), size);
        }
    }

    /// Says something beside the progress.
    pub(crate) fn say(&self, text: &str) {
        if self.manner != Manner::Silent {
            let mut line = Line::default();
            line.push(Style::Waiting, text);
            self.terminal.line(&line);
        }
    }

    /// Ends the view; what is drawn stays where it is.
    pub(crate) fn close(&self) {
        self.terminal.leave();
    }
}
