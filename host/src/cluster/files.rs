//! Files on the server, by their SHA-256: tasks and data. An agent keeps what it has fetched.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::object_store::{Config, ObjectInfo, ObjectStore};
use async_nats::jetstream::stream::{DiscardPolicy, StorageType};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::{ClusterError, Link, subjects};

/// The largest file.
pub const MOST_BYTES: u64 = 1 << 30;

/// How long the server keeps a file. Nobody needs it for longer; what is missing is put there again.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A file that is older is put there anew, so that it does not go while it is needed.
const FRESH: Duration = Duration::from_secs(24 * 3_600);

/// How long the next part of a file may take from the server.
const PART: Duration = Duration::from_secs(20);

/// How long a file may take from or to the server.
const TRANSFER: Duration = Duration::from_secs(300);

impl Link {
    /// Puts a file on the server, unless it is there already. Returns its SHA-256. A server that is away is waited for.
    pub fn put(&self, content: &[u8]) -> Result<String, ClusterError> {
        let turn = self.turn();
        self.wait_until_up();
        match self.put_now(content) {
            // The connection has been made anew meanwhile.
            Err(_) if self.turn() != turn || !self.is_up() => {
                self.wait_until_up();
                self.put_now(content)
            }
            put => put,
        }
    }

    fn put_now(&self, content: &[u8]) -> Result<String, ClusterError> {
        let digest = hex(content);
        let refused = |why: String| self.refused("keep a file", why);
        let put = async {
            let store = self.store().await?;
            if let Ok(info) = store.info(&digest).await
                && self.is_whole(&info, content.len()).await
            {
                return Ok(());
            }
            let mut reader = content;
            store.put(digest.as_str(), &mut reader).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(())
        };
        let done = self.runtime.block_on(async { tokio::time::timeout(TRANSFER, put).await });
        done.map_err(|_| refused("it took too long".into()))?.map_err(refused)?;
        Ok(digest)
    }

    /// Whether a file of `size` bytes is there, with all its parts, and for long enough.
    async fn is_whole(&self, info: &ObjectInfo, size: usize) -> bool {
        let age = info.modified.and_then(|at| SystemTime::now().duration_since(at.into()).ok()).unwrap_or_default();
        if info.size != size || info.deleted || age >= FRESH {
            return false;
        }
        let Ok(stream) = self.jetstream.get_stream_no_info(format!("OBJ_{}", subjects::FILES)).await else {
            return false;
        };
        let parts = format!("$O.{}.C.{}", subjects::FILES, info.nuid);
        let Ok(mut there) = stream.info_with_subjects(parts).await else { return false };
        let mut count = 0;
        while let Ok(Some((_, parts))) = there.try_next().await {
            count += parts;
        }
        count == info.chunks
    }

    /// Fetches the file with this SHA-256, of at most `most` bytes.
    pub fn get(&self, digest: &str, most: u64) -> Result<Vec<u8>, ClusterError> {
        let refused = |why: String| self.refused("give a file", why);
        let get = async {
            let store = self.store().await?;
            let object = store.get(digest).await.map_err(|error| error.to_string())?;
            if object.info().size as u64 > most {
                return Err(format!("it has {} bytes, and {most} are allowed", object.info().size));
            }
            let mut content = Vec::new();
            let mut reader = object.take(most + 1);
            loop {
                // A part that is not there is waited for without end.
                let read = tokio::time::timeout(PART, reader.read_buf(&mut content)).await;
                let missing = || format!("nothing came for {} s: part of it is missing", PART.as_secs());
                if read.map_err(|_| missing())?.map_err(|error| error.to_string())? == 0 {
                    return Ok(content);
                }
            }
        };
        let got = self.runtime.block_on(async { tokio::time::timeout(TRANSFER, get).await });
        let content = got.map_err(|_| refused("it took too long".into()))?.map_err(refused)?;
        if content.len() as u64 > most || hex(&content) != digest {
            return Err(refused("what came is another file".into()));
        }
        Ok(content)
    }

    /// Removes a file from the server, if it is there.
    pub fn forget(&self, digest: &str) {
        let removed = async {
            let store = self.store().await?;
            store.delete(digest).await.map_err(|error| error.to_string())
        };
        // It is removed after some days anyway.
        let _ = self.runtime.block_on(async { tokio::time::timeout(super::ANSWER, removed).await });
    }

    /// Refuses the buckets of a server if somebody else made them, and they lose what is put there.
    pub fn check_buckets(&self) -> Result<(), ClusterError> {
        let buckets = [(subjects::FILES, "OBJ", KEPT), (subjects::REGISTER, "KV", Duration::MAX)];
        for (bucket, kind, least) in buckets {
            let stream = format!("{kind}_{bucket}");
            let found = async {
                // A bucket that is not there yet is made in the right way.
                let Ok(stream) = self.jetstream.get_stream(&stream).await else { return Ok(()) };
                let config = &stream.cached_info().config;
                if !config.max_age.is_zero() && config.max_age < least {
                    return Err(format!("it forgets what is put into `{bucket}` after {:?}", config.max_age));
                }
                let is_bound = config.max_bytes > 0 || config.max_messages > 0;
                if is_bound && config.discard == DiscardPolicy::Old {
                    return Err(format!("it drops the oldest of what is in `{bucket}` once that is full"));
                }
                match config.storage {
                    StorageType::File => Ok(()),
                    StorageType::Memory => Err(format!("it keeps `{bucket}` in memory")),
                }
            };
            let found = self.runtime.block_on(async { tokio::time::timeout(super::ANSWER, found).await });
            let why = found.unwrap_or_else(|_| Err("it took too long".into()));
            why.map_err(|why| {
                let remedy = format!("remove the stream `{stream}` of the server, and it will be made anew");
                self.refused("offer what a command needs", format!("{why}: {remedy}"))
            })?;
        }
        Ok(())
    }

    async fn store(&self) -> Result<ObjectStore, String> {
        let config = Config { bucket: subjects::FILES.into(), max_age: KEPT, ..Config::default() };
        match self.jetstream.get_object_store(subjects::FILES).await {
            Ok(store) => Ok(store),
            Err(_) => self.jetstream.create_object_store(config).await.map_err(|error| error.to_string()),
        }
    }
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
