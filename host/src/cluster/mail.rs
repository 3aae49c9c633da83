//! Messages of plain subjects: sent, heard, asked and answered. The server keeps none of them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, TrySendError, bounded};
use futures_util::StreamExt;

use super::{ClusterError, Link};

/// How many messages of a subscription may wait for their reader.
const WAITING: usize = 4_096;

/// Something that goes on in the background until this is dropped.
#[derive(Debug)]
pub struct Listening(tokio::task::AbortHandle);

impl Listening {
    pub(super) fn to(task: tokio::task::JoinHandle<()>) -> Self {
        Self(task.abort_handle())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A message that came by a plain subject.
#[derive(Debug)]
pub struct Mail {
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Where an answer is expected.
    pub reply: Option<String>,
}

impl Link {
    /// Sends a message to whoever listens. While the server is away, messages wait.
    pub fn publish(&self, subject: &str, payload: Vec<u8>) {
        // Fails if the client is closed, which it never is before this is dropped, or for a wrong subject.
        let _ = self.runtime.block_on(self.client.publish(subject.to_owned(), payload.into()));
    }

    /// Asks whoever listens, and returns the answer; `None` if there is none within `most`.
    pub fn request(&self, subject: &str, payload: Vec<u8>, most: Duration) -> Option<Vec<u8>> {
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(most));
        let answer = self.runtime.block_on(self.client.send_request(subject.to_owned(), request));
        answer.ok().map(|message| message.payload.to_vec())
    }

    /// Answers each request at a subject with what `answer` makes of it, at once.
    pub fn answer(
        &self,
        subject: &str,
        answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
    ) -> Result<Listening, ClusterError> {
        let client = self.client.clone();
        let subscribed = self.runtime.block_on(client.subscribe(subject.to_owned()));
        let mut subscriber = subscribed.map_err(|why| ClusterError::refused(&format!("listen to {subject}"), why))?;
        Ok(Listening::to(self.runtime.spawn(async move {
            while let Some(message) = subscriber.next().await {
                if let Some(reply) = message.reply {
                    // Who asked asks again.
                    let _ = client.publish(reply, answer(&message.payload).into()).await;
                }
            }
        })))
    }

    /// Sends an empty message to a subject again and again.
    pub fn beat(&self, subject: String, interval: Duration) -> Listening {
        let client = self.client.clone();
        Listening::to(self.runtime.spawn(async move {
            let mut tick = tokio::time::interval(interval);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let _ = client.publish(subject.clone(), Vec::new().into()).await;
            }
        }))
    }

    /// The subjects that match `subject` at which something is sent within `most`.
    pub fn heard(&self, subject: &str, most: Duration) -> Result<Vec<String>, ClusterError> {
        let (sender, subjects) = bounded(WAITING);
        let _listening = self.subscribe_to(subject, sender, |mail| mail.subject)?;
        let deadline = Instant::now() + most;
        let mut heard: Vec<String> = std::iter::from_fn(|| subjects.recv_deadline(deadline).ok()).collect();
        heard.sort_unstable();
        heard.dedup();
        Ok(heard)
    }

    /// Sends `to` what `read` makes of each message that comes to a subject from now on. If nobody receives, the oldest
    /// messages stay, and new ones are dropped.
    pub fn subscribe_to<T: Send + 'static>(
        &self,
        subject: &str,
        to: Sender<T>,
        read: impl Fn(Mail) -> T + Send + 'static,
    ) -> Result<Listening, ClusterError> {
        self.listen(subject, move |mail| match to.try_send(read(mail)) {
            Err(TrySendError::Disconnected(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Calls `hear` with each message that comes to a subject from now on, until `hear` breaks off.
    pub fn listen(
        &self,
        subject: &str,
        mut hear: impl FnMut(Mail) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Listening, ClusterError> {
        let client = self.client.clone();
        let subscribed = self.runtime.block_on(async {
            let subscriber = client.subscribe(subject.to_owned()).await.map_err(|error| error.to_string())?;
            client.flush().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(subscriber)
        });
        let mut subscriber = subscribed.map_err(|why| ClusterError::refused(&format!("listen to {subject}"), why))?;
        Ok(Listening::to(self.runtime.spawn(async move {
            while let Some(message) = subscriber.next().await {
                let mail = Mail {
                    subject: message.subject.to_string(),
                    payload: message.payload.to_vec(),
                    reply: message.reply.map(|reply| reply.to_string()),
                };
                if hear(mail).is_break() {
                    return;
                }
            }
        })))
    }
}
