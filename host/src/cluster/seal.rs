//! What a command puts on the server is sealed: the server, and whoever may read there, learns no secret of a run.
//!
//! A command has one key. Its controller makes the key and gives it to each agent that it invites, sealed for that
//! agent alone. Everything in the journal, every request to an agent and every file but the task is sealed with it.
//! That also proves that whoever wrote it has the key.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, XKey};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// The bytes of a key.
const KEY_LEN: usize = 32;

/// The text of a public key for sealing: a letter, then 55 more characters.
const PUBLIC_LEN: usize = 56;

/// The key of a command.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; KEY_LEN],
    sealing: LessSafeKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why something cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// It is not a key.
    #[error("it is not a key of a command")]
    Key,
}

impl Key {
    /// A key that nobody has.
    pub fn new() -> Result<Self, SealError> {
        let mut bytes = [0; KEY_LEN];
        SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::Random)?;
        Self::of(bytes)
    }

    fn of(bytes: [u8; KEY_LEN]) -> Result<Self, SealError> {
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| SealError::Key)?;
        Ok(Self { bytes, sealing: LessSafeKey::new(unbound) })
    }

    /// The key as text, for a file that only its owner can read.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }

    /// The inverse of [`to_text`](Self::to_text).
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| SealError::Key)?;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        Self::of(bytes.try_into().map_err(|_| SealError::Key)?)
    }

    /// Seals `plain` for `place`, such as a subject. It can be opened only there.
    pub fn seal(&self, place: &str, mut plain: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        let aad = Aad::from(place.as_bytes());
        let sealed = self.sealing.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain);
        sealed.map_err(|_| SealError::Key)?;
        Ok([&nonce[..], &plain].concat())
    }

    /// What was sealed for `place`; `None` if this key did not seal it, or for another place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let aad = Aad::from(place.as_bytes());
        let length = self.sealing.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// The key, sealed for whoever has the secret of `public`, a key from [`Letterbox::public`].
    pub fn seal_for(&self, public: &str) -> Result<Vec<u8>, SealError> {
        let (sender, recipient) = (XKey::new(), XKey::from_public_key(public).map_err(|_| SealError::Key)?);
        let sealed = sender.seal(&self.bytes, &recipient).map_err(|_| SealError::Key)?;
        Ok([sender.public_key().as_bytes(), &sealed].concat())
    }
}

/// What an agent opens keys with that were sealed for it.
pub struct Letterbox(XKey);

impl fmt::Debug for Letterbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letterbox({})", self.public())
    }
}

impl Default for Letterbox {
    /// A letterbox with a key of its own.
    fn default() -> Self {
        Self(XKey::new())
    }
}

impl Letterbox {
    /// The key for whoever wants to seal something.
    pub fn public(&self) -> String {
        self.0.public_key()
    }

    /// The key of a command that was sealed for this letterbox.
    pub fn open(&self, sealed: &[u8]) -> Option<Key> {
        let (sender, sealed) = sealed.split_at_checked(PUBLIC_LEN)?;
        let sender = XKey::from_public_key(std::str::from_utf8(sender).ok()?).ok()?;
        Key::from_bytes(&self.0.open(sealed, &sender).ok()?).ok()
    }
}

/// Signs as the user whose key it has (Ed25519).
pub struct Signer(KeyPair);

impl Signer {
    /// From the seed of a user's key, as NATS writes it.
    pub fn from_seed(seed: &str) -> Option<Self> {
        KeyPair::from_seed(seed).ok().map(Self)
    }

    /// The public key, as NATS writes it.
    pub fn public(&self) -> String {
        self.0.public_key()
    }

    /// The signature of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.sign(bytes).map_err(|_| SealError::Key)
    }
}

/// Whether `signature` is that of `bytes` by the owner of the public key `by`.
pub fn is_signed(by: &str, bytes: &[u8], signature: &[u8]) -> bool {
    KeyPair::from_public_key(by).is_ok_and(|key| key.verify(bytes, signature).is_ok())
}

/// Whether it is the public key of a user, as NATS writes it.
pub fn is_public_key(text: &str) -> bool {
    text.starts_with('U') && KeyPair::from_public_key(text).is_ok()
}

/// The seed of a user's key in a file of credentials.
pub fn seed(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| line.starts_with("SU") && KeyPair::from_seed(line).is_ok())
}

/// Random bytes that nobody else has.
pub fn nonce() -> Result<[u8; 16], SealError> {
    let mut nonce = [0; 16];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
    Ok(nonce)
}

/// The key in the file at `path`.
pub fn read_key(path: &Path) -> Result<Key, String> {
    let text = crate::input::read_text(path, 1_024).map_err(|error| error.to_string())?;
    Key::from_text(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_at_its_place_alone() {
        let (key, other) = (Key::new().unwrap(), Key::new().unwrap());
        for plain in [&b""[..], b"a secret", &[7; 70_000]] {
            let sealed = key.seal("a.b", plain.to_vec()).unwrap();
            assert_ne!(sealed, key.seal("a.b", plain.to_vec()).unwrap());
            assert_eq!(key.open("a.b", &sealed).as_deref(), Some(plain));
            assert_eq!(key.open("a.c", &sealed), None);
            assert_eq!(other.open("a.b", &sealed), None);
            for i in (0..sealed.len()).step_by(1_001) {
                let mut altered = sealed.clone();
                altered[i] ^= 1;
                assert_eq!(key.open("a.b", &altered), None, "byte {i}");
            }
        }
        assert_eq!(key.open("a.b", &[1, 2, 3]), None);
        let again = Key::from_text(&format!("{}\n", key.to_text())).unwrap();
        assert_eq!(again.open("x", &key.seal("x", vec![1]).unwrap()), Some(vec![1]));
        assert_eq!(Key::from_text("abc").unwrap_err(), SealError::Key);
        assert_eq!(format!("{key:?}"), "Key(…)");
    }

    #[test]
    fn a_signature_is_one_of_what_was_signed() {
        let (of, other) = (KeyPair::new_user(), KeyPair::new_user());
        let text = format!("-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n", of.seed().unwrap());
        let signer = Signer::from_seed(seed(&text).unwrap()).unwrap();
        let signature = signer.sign(b"run this").unwrap();
        assert!(is_signed(&signer.public(), b"run this", &signature));
        assert!(!is_signed(&signer.public(), b"run that", &signature));
        assert!(!is_signed(&other.public_key(), b"run this", &signature));
        assert!(!is_signed("U123", b"run this", &signature) && !is_signed(&signer.public(), b"run this", &[]));
        assert!(is_public_key(&of.public_key()) && !is_public_key(&of.seed().unwrap()) && !is_public_key("UABC"));
        assert_eq!(seed("nothing"), None);
    }

    #[test]
    fn a_key_reaches_the_agent_that_it_was_sealed_for() {
        let (key, of, other) = (Key::new().unwrap(), Letterbox::default(), Letterbox::default());
        let sealed = key.seal_for(&of.public()).unwrap();
        let opened = of.open(&sealed).unwrap();
        assert_eq!(opened.to_text(), key.to_text());
        assert!(other.open(&sealed).is_none() && of.open(&sealed[..40]).is_none() && of.open(&[]).is_none());
        assert_eq!(key.seal_for("not a key").unwrap_err(), SealError::Key);
    }
}
