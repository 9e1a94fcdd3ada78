//! Makes keys, from the random bits of the system.

use crate::config::{BASE32, BASE62, Digest, ID_LENGTH, SECRET_LENGTH, Secret, compose, digest_of};

/// The system gives no random bits.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random bits for a key")]
pub struct NoRandomness;

/// A key that was just made. Its text exists nowhere else.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The id inside the key, which is public.
    pub id: String,
    /// The key.
    pub text: Secret,
    /// Its digest.
    pub digest: Digest,
}

/// Makes a key; with this id, or with a new one.
///
/// # Errors
///
/// [`NoRandomness`].
pub fn new_key(id: Option<&str>) -> Result<NewKey, NoRandomness> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => digits(BASE32, ID_LENGTH)?,
    };
    let text = compose(&id, &digits(BASE62, SECRET_LENGTH)?);
    let digest = digest_of(text.reveal().as_bytes());
    Ok(NewKey { id, text, digest })
}

/// So many uniform digits.
fn digits(of: &[u8], length: usize) -> Result<String, NoRandomness> {
    let mut text = String::with_capacity(length);
    // Bytes from here on would make the first digits likelier than the others.
    let end = 256 - 256 % of.len();
    let mut bytes = [0_u8; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).map_err(|_unsupported| NoRandomness)?;
        let usable = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < end);
        text.extend(usable.filter_map(|byte| of.get(byte % of.len())).map(|digit| char::from(*digit)));
    }
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::{KeyForm, form_of};

    #[test]
    fn each_key_is_sound_and_another_one() {
        let keys: Vec<NewKey> = (0..200).map(|_| new_key(None).unwrap()).collect();
        let texts: HashSet<&str> = keys.iter().map(|key| key.text.reveal()).collect();
        assert_eq!(texts.len(), keys.len());
        for key in &keys {
            assert_eq!(form_of(key.text.reveal().as_bytes()), KeyForm::Ours(&key.id));
            assert!(!format!("{key:?}").contains(key.text.reveal()));
        }
        let secrets: String = texts.iter().map(|text| &text[16..48]).collect();
        let used: HashSet<u8> = secrets.bytes().collect();
        assert_eq!(used.len(), 62, "every digit is used");
    }

    #[test]
    fn a_key_of_the_same_id_is_another_key() {
        let one = new_key(None).unwrap();
        let other = new_key(Some(&one.id)).unwrap();
        assert_eq!(one.id, other.id);
        assert_ne!(one.digest, other.digest);
    }
}
