//! The whole screen of a terminal, for a run: its keys, and how it is left.

use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use super::gauge::Gauge;
use super::view::{Direction, View};
use super::waiting::Waiting;
use super::{Printed, Update};

/// The shortest time between two drawings, and the longest until a key is seen.
const FRAME: Duration = Duration::from_millis(100);

/// The screen, until this is dropped.
pub(super) struct Display {
    terminal: Terminal<CrosstermBackend<io::Stderr>>,
    view: View,
    drawn: Option<Instant>,
}

/// Whether the terminal is not as it was found.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Display {
    /// Takes the screen of the terminal at stderr. A process that panics gives it back.
    pub(super) fn take() -> io::Result<Self> {
        if !io::stderr().is_terminal() {
            return Err(io::Error::other("--tui needs a terminal at stderr: leave it out, or redirect only stdout"));
        }
        let terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let has_no_keys = |error| io::Error::other(format!("--tui cannot read keys from the terminal: {error}"));
        enable_raw_mode().map_err(has_no_keys)?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        // Gives the terminal back if the next step fails.
        let has_colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let display = Self { terminal, view: View::new(has_colours), drawn: None };
        execute!(io::stderr(), EnterAlternateScreen, Hide)?;
        Ok(display)
    }

    /// Shows what `events` tell, until there are no more. Then everything that was said stands on stderr.
    pub(super) fn follow(mut self, events: &Receiver<Update>, stop: &Sender<()>) {
        let mut printed = Printed::default();
        loop {
            match events.recv_timeout(FRAME) {
                Ok(update) => {
                    self.take_in(update, &mut printed);
                    events.try_iter().for_each(|update| self.take_in(update, &mut printed));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.hear(stop);
            if self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
                let view = &self.view;
                // A terminal that is gone shows nothing; the run goes on.
                let _ = self.terminal.draw(|frame| view.draw(frame));
                self.drawn = Some(Instant::now());
            }
        }
        let said = std::mem::take(&mut self.view.said);
        drop(self);
        let mut stderr = anstream::stderr().lock();
        for (_, line) in &said {
            let _ = writeln!(stderr, "{line}");
        }
    }

    fn take_in(&mut self, update: Update, printed: &mut Printed) {
        let view = &mut self.view;
        match update {
            Update::Began(plan) => view.begin(Gauge::new(plan)),
            Update::Counted { latency, failed } => view.count(latency, failed),
            Update::Standing(standing) => view.stand(standing),
            Update::Report(report) => view.show(report),
            Update::Awaits { awaited, most } => Waiting::go_on(&mut view.waiting, awaited, most),
            Update::Stopping => view.stop(),
            Update::Print(text) => view.say(&text),
            Update::Printed(text) if printed.is_new(&text) => view.say(&text),
            Update::Printed(_) => {}
            Update::Ended => {
                view.waiting = None;
                view.say(&std::mem::take(printed).again());
            }
        }
    }

    /// Does what the keys say that were pressed.
    fn hear(&mut self, stop: &Sender<()>) {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(event) = event::read() else { return };
            self.drawn = None;
            let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event
            else {
                continue;
            };
            let is_control = modifiers.contains(KeyModifiers::CONTROL);
            match code {
                // As Ctrl-C does everywhere else; a terminal without its own keys sends no signal.
                KeyCode::Char('c') if is_control => drop(stop.send(())),
                KeyCode::Char('q') => drop(stop.send(())),
                KeyCode::Char('p' | ' ') => self.view.pause(),
                KeyCode::Tab | KeyCode::Right => self.view.turn(Direction::Next),
                KeyCode::BackTab | KeyCode::Left => self.view.turn(Direction::Previous),
                KeyCode::Char(digit @ '1'..='9') => self.view.choose(digit as usize - '1' as usize),
                KeyCode::Down => self.view.scroll(1),
                KeyCode::Up => self.view.scroll(-1),
                KeyCode::PageDown => self.view.scroll(10),
                KeyCode::PageUp => self.view.scroll(-10),
                _ => {}
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        give_back();
    }
}

/// Leaves the terminal as it was found. What fails cannot be helped.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
