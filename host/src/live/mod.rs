//! Shows a run while it goes on: the report as a page that follows it, and its figures for Prometheus.
//!
//! A [`Board`] passes reports on. If nobody looks at it, no reports need to be made. The page is only served on
//! loopback, its address contains a token, and it can ask for a stop. This module knows neither how reports are made
//! nor how a run stops.

mod answers;

use std::future::ready;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam::channel::Sender;
use tokio::sync::watch;

use crate::rendering::html;
use crate::report::{Moment, Report};
use crate::serve::{Allowance, listen, serve};

/// How many viewers or scrapers may be connected at once.
const MOST_CONNECTIONS: usize = 32;

/// The percentage of the files that this process may open which each server may take for connections.
const SHARE: u64 = 20;

/// How long a connection may be idle: longer than between two scrapes, which most take every 15 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds the latest report.
#[derive(Clone)]
pub struct Board(Arc<Latest>);

struct Latest {
    /// `None` before the first report.
    shown: watch::Sender<Option<Arc<Posted>>>,
    /// Whether somebody asked since the latest report arrived.
    asked: AtomicBool,
}

/// A report on the board.
struct Posted {
    report: Report,
    /// Whether the run goes on.
    moment: Moment,
    /// The report's part of the page, rendered at the first request.
    part: OnceLock<String>,
}

impl Default for Board {
    fn default() -> Self {
        let (shown, _) = watch::channel(None);
        Self(Arc::new(Latest { shown, asked: AtomicBool::new(false) }))
    }
}

impl Board {
    /// Whether anybody would see a new report.
    pub fn is_looked_at(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) || self.0.shown.receiver_count() > 0
    }

    /// Shows an intermediate report.
    pub fn show(&self, report: &Report) {
        self.hang(report, Moment::Running);
    }

    /// Shows the final report.
    pub fn end(&self, report: &Report) {
        self.hang(report, Moment::Ended);
    }

    fn hang(&self, report: &Report, moment: Moment) {
        self.0.asked.store(false, Ordering::Relaxed);
        let shown = Posted { report: report.clone(), moment, part: OnceLock::new() };
        self.0.shown.send_replace(Some(Arc::new(shown)));
    }

    fn latest(&self) -> Option<Arc<Posted>> {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.shown.borrow().clone()
    }
}

impl Posted {
    fn is_final(&self) -> bool {
        self.moment == Moment::Ended
    }

    fn part(&self) -> &str {
        self.part.get_or_init(|| html::part(&self.report, self.moment))
    }
}

/// Serves the page of `board` on loopback, on a separate thread, and returns its address. A message on `stop` means
/// that a viewer wants to stop the run.
pub fn web(board: Board, port: u16, stop: Sender<()>) -> io::Result<String> {
    let listener = listen((Ipv4Addr::LOCALHOST, port))?;
    let port = listener.local_addr()?.port();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let address = format!("http://127.0.0.1:{port}/{token}/");
    let site = Arc::new(answers::Site { board, port, token, stop });
    std::thread::Builder::new().name("web".into()).spawn(move || {
        let allowance = Allowance::of(MOST_CONNECTIONS, SHARE, PATIENCE);
        serve(listener, allowance, move |request| ready(answers::page(&site, &request)))
    })?;
    Ok(address)
}

/// Serves the figures of `board` for Prometheus, on a separate thread, and returns the address.
pub fn metrics(board: Board, address: &str) -> io::Result<SocketAddr> {
    let listener = listen(address)?;
    let local = listener.local_addr()?;
    let names = Arc::new(answers::Names::of(address));
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        let allowance = Allowance::of(MOST_CONNECTIONS, SHARE, PATIENCE);
        serve(listener, allowance, move |request| answers::figures(board.clone(), names.clone(), request))
    })?;
    Ok(local)
}
