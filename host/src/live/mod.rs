//! A run that goes on, for others to look at: the report as a page that follows it, and its figures for Prometheus.
//!
//! Reports come in by a [`Board`]; where nobody looks, none need be made. The page is on loopback alone, behind a token
//! in its address, and can ask for a stop. Knows neither how reports are made nor how a run is stopped.

mod answers;

use std::future::ready;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam::channel::Sender;
use tokio::sync::watch;

use crate::rendering::html;
use crate::report::{Moment, Report};
use crate::serve::{listen, serve};

/// Where the latest report hangs.
#[derive(Clone)]
pub struct Board(Arc<Latest>);

struct Latest {
    /// Nothing before the first one.
    shown: watch::Sender<Option<Arc<Shown>>>,
    /// Whether somebody has asked since the last one was shown.
    asked: AtomicBool,
}

/// A report that hangs there.
struct Shown {
    report: Report,
    /// Whether it is the last one.
    is_final: bool,
    /// Its page's part, made for the first who wants it.
    part: OnceLock<String>,
}

impl Default for Board {
    fn default() -> Self {
        let (shown, _) = watch::channel(None);
        Self(Arc::new(Latest { shown, asked: AtomicBool::new(false) }))
    }
}

impl Board {
    /// Whether a new report would be seen by anybody.
    pub fn is_looked_at(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) || self.0.shown.receiver_count() > 0
    }

    /// Shows a report of a run that goes on.
    pub fn show(&self, report: &Report) {
        self.hang(report, false);
    }

    /// Shows the last one.
    pub fn end(&self, report: &Report) {
        self.hang(report, true);
    }

    fn hang(&self, report: &Report, is_final: bool) {
        self.0.asked.store(false, Ordering::Relaxed);
        let shown = Shown { report: report.clone(), is_final, part: OnceLock::new() };
        self.0.shown.send_replace(Some(Arc::new(shown)));
    }

    fn latest(&self) -> Option<Arc<Shown>> {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.shown.borrow().clone()
    }
}

impl Shown {
    fn part(&self) -> &str {
        let moment = if self.is_final { Moment::Ended } else { Moment::Running };
        self.part.get_or_init(|| html::part(&self.report, moment))
    }
}

/// Serves the page of `board` on loopback, on a thread of its own; a message on `stop` is a viewer's wish to stop the
/// run. Returns the page's address.
pub fn web(board: Board, port: u16, stop: Sender<()>) -> io::Result<String> {
    let listener = listen((Ipv4Addr::LOCALHOST, port))?;
    let port = listener.local_addr()?.port();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let address = format!("http://127.0.0.1:{port}/{token}/");
    let site = Arc::new(answers::Site { board, port, token, stop });
    std::thread::Builder::new()
        .name("web".into())
        .spawn(move || serve(listener, move |request| ready(answers::page(&site, &request))))?;
    Ok(address)
}

/// Serves the figures of `board` for Prometheus, on a thread of its own. Returns where.
pub fn metrics(board: Board, address: &str) -> io::Result<SocketAddr> {
    let listener = listen(address)?;
    let local = listener.local_addr()?;
    std::thread::Builder::new()
        .name("metrics".into())
        .spawn(move || serve(listener, move |request| answers::figures(board.clone(), request)))?;
    Ok(local)
}
