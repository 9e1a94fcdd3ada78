//! The state of the screen, and how keys change it. It knows neither a terminal nor a server: a key that needs something of
//! the server returns a [`Wish`].

use super::grid::Grid;
use super::grids;
use super::limits;
use super::source::Reading;
use crate::observe::ledger::Record;

/// A tab of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    /// The providers.
    Providers,
    /// The routes.
    Routes,
    /// The strategies.
    Strategies,
    /// The clients.
    Clients,
    /// The limits.
    Limits,
    /// The latest requests.
    Requests,
    /// The latest events.
    Events,
}

impl Tab {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Providers, Self::Routes, Self::Strategies, Self::Clients, Self::Limits, Self::Requests, Self::Events];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::Routes => "routes",
            Self::Strategies => "strategies",
            Self::Clients => "clients",
            Self::Limits => "limits",
            Self::Requests => "requests",
            Self::Events => "events",
        }
    }

    /// The property of requests that its rows name.
    fn property(self) -> Option<&'static str> {
        match self {
            Self::Providers => Some("provider"),
            Self::Routes => Some("route"),
            Self::Strategies => Some("strategy"),
            Self::Clients => Some("client"),
            Self::Limits | Self::Requests | Self::Events => None,
        }
    }
}

/// The meanings of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    /// Shows a tab by its number, from 0.
    Tab(usize),
    /// Shows the next tab, or the one before.
    Next(bool),
    /// Moves so many rows down; up if it is negative.
    Move(i32),
    /// Moves to the first row, or the last.
    End(bool),
    /// Opens what is selected.
    Open,
    /// Closes what was opened last.
    Back,
    /// Sorts by the next column.
    Sort,
    /// Turns the order around.
    Reverse,
    /// Stops reading, or goes on.
    Pause,
    /// Shows failed requests alone, or all of them.
    Failed,
    /// Ends the program.
    Quit,
}

/// Something that a key asks for, beyond the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The program should end.
    Quit,
    /// The requests with this property.
    Requests(&'static str, String),
    /// The course of this request.
    Why(String),
}

/// A list or a text that was opened over a tab.
#[derive(Clone, Debug)]
pub(super) enum Opened {
    /// A list of requests.
    Requests {
        /// The provider, client, route or strategy that the requests belong to, in words.
        of: String,
        /// The requests.
        records: Vec<Record>,
        /// The selected one.
        selected: usize,
    },
    /// A text.
    Text {
        /// The heading.
        title: String,
        /// Its lines.
        text: String,
        /// The first line that is shown.
        from: usize,
    },
}

/// The screen.
#[derive(Debug)]
pub(super) struct Screen {
    /// The tab.
    pub tab: Tab,
    /// The latest reading.
    pub reading: Option<Reading>,
    /// The reason why the latest reading failed; `None` if it did not.
    pub trouble: Option<String>,
    /// True while nothing is read.
    pub is_paused: bool,
    /// True while failed requests alone are shown.
    pub failed_only: bool,
    /// The lists and texts that were opened, the last on top.
    pub opened: Vec<Opened>,
    /// By tab: the column to sort by, whether that is reversed, and the row that is selected.
    pub order: [(Option<usize>, bool, usize); Tab::ALL.len()],
}

impl Screen {
    /// A screen without a reading.
    pub fn new() -> Self {
        Self {
            tab: Tab::Providers,
            reading: None,
            trouble: None,
            is_paused: false,
            failed_only: false,
            opened: Vec::new(),
            order: [(None, false, 0); Tab::ALL.len()],
        }
    }

    /// The table that is shown, sorted, and the row that is selected; `None` while a text is shown or nothing was read yet.
    pub fn grid(&self) -> Option<(Grid, usize)> {
        if let Some(opened) = self.opened.last() {
            return match opened {
                Opened::Requests { records, selected, .. } => Some((grids::requests(records.iter()), *selected)),
                Opened::Text { .. } => None,
            };
        }
        let reading = self.reading.as_ref()?;
        let mut grid = match self.tab {
            Tab::Providers => grids::providers(reading),
            Tab::Routes => grids::routes(reading),
            Tab::Strategies => grids::strategies(reading),
            Tab::Clients => grids::clients(reading),
            Tab::Limits => limits::limits(reading),
            Tab::Requests => {
                grids::requests(reading.requests.iter().filter(|record| !self.failed_only || record.failed()))
            }
            Tab::Events => grids::events(reading),
        };
        let (by, is_reversed, selected) = self.order[self.tab as usize];
        grid.sort(by, is_reversed);
        let last = grid.rows.len().saturating_sub(1);
        Some((grid, selected.min(last)))
    }

    /// The column that the tab is sorted by, and whether that is reversed.
    pub fn sorted(&self) -> (Option<usize>, bool) {
        let (by, is_reversed, _) = self.order[self.tab as usize];
        if self.opened.is_empty() { (by, is_reversed) } else { (None, false) }
    }

    /// Obeys a key.
    pub fn press(&mut self, press: Press) -> Option<Wish> {
        let order = &mut self.order[self.tab as usize];
        match press {
            Press::Quit => return Some(Wish::Quit),
            Press::Pause => self.is_paused = !self.is_paused,
            Press::Failed => self.failed_only = !self.failed_only,
            Press::Back => drop(self.opened.pop()),
            Press::Tab(number) => self.turn_to(number),
            Press::Next(forward) => {
                let step = if forward { 1 } else { Tab::ALL.len() - 1 };
                self.turn_to((self.tab as usize + step) % Tab::ALL.len());
            }
            Press::Sort if self.opened.is_empty() => {
                let columns = self.grid()?.0.columns.len();
                let (by, ..) = &mut self.order[self.tab as usize];
                let next = by.map_or(0, |by| by + 1);
                *by = (next < columns).then_some(next);
            }
            Press::Reverse if self.opened.is_empty() => order.1 = !order.1,
            Press::Sort | Press::Reverse => {}
            Press::Move(rows) => self.go(|at| at.saturating_add_signed(rows as isize)),
            Press::End(is_last) => self.go(|_| if is_last { usize::MAX } else { 0 }),
            Press::Open => return self.open(),
        }
        None
    }

    fn turn_to(&mut self, number: usize) {
        if let Some(tab) = Tab::ALL.get(number) {
            self.tab = *tab;
            self.opened.clear();
        }
    }

    /// Moves by rows in the list or text on top, or in the table of the tab.
    fn go(&mut self, to: impl Fn(usize) -> usize) {
        let last = self.grid().map_or(0, |(grid, _)| grid.rows.len().saturating_sub(1));
        match self.opened.last_mut() {
            Some(Opened::Text { text, from, .. }) => *from = to(*from).min(text.lines().count().saturating_sub(1)),
            Some(Opened::Requests { selected, .. }) => *selected = to(*selected).min(last),
            None => {
                let selected = &mut self.order[self.tab as usize].2;
                *selected = to((*selected).min(last)).min(last);
            }
        }
    }

    fn open(&mut self) -> Option<Wish> {
        let (grid, selected) = self.grid()?;
        let key = grid.rows.get(selected)?.key.clone();
        let is_list = !self.opened.is_empty() || self.tab == Tab::Requests;
        match self.tab.property() {
            _ if is_list => Some(Wish::Why(key)),
            Some(property) => Some(Wish::Requests(property, key)),
            None if self.tab == Tab::Limits => {
                let (kind, name) = key.split_once(' ')?;
                let property = ["client", "route", "provider"].into_iter().find(|property| *property == kind)?;
                Some(Wish::Requests(property, name.to_owned()))
            }
            None => {
                self.opened.push(Opened::Text { title: "event".to_owned(), text: key, from: 0 });
                None
            }
        }
    }
}
