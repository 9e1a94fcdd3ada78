//! What the engine knows, read in one step.

use std::collections::BTreeMap;

/// The values of the engine as lines of owner, name and value; what replicas hold has a name of its own.
pub const READ: &str = "local lines = {} \
    for _, key in ipairs(redis.call('KEYS', 'pm:{*}:*')) do \
      local owner, name = string.match(key, '^pm:{(.*)}:(.*)$') \
      local kind = redis.call('TYPE', key).ok \
      if kind == 'string' then table.insert(lines, owner .. ' ' .. name .. ' ' .. redis.call('GET', key)) end \
      if kind == 'hash' and name ~= 's' then \
        local fields = redis.call('HGETALL', key) \
        for i = 1, #fields, 2 do table.insert(lines, owner .. ' ' .. name .. '/' .. fields[i] .. ' ' .. fields[i + 1]) end \
      end \
    end";

/// The values of the engine, by owner and name.
pub type Values = BTreeMap<(String, String), f64>;

/// Reads these lines.
pub fn read(text: &str) -> Values {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (owner, name, value) = (words.next()?, words.next()?, words.next()?);
        Some(((owner.to_owned(), name.to_owned()), value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The money that was counted, by owner; of one who has spent nothing the engine may know or not.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole nano-dollars below 9e15")]
pub fn money(values: &Values) -> BTreeMap<String, u64> {
    let spent = values.iter().filter(|((_, name), value)| name == "usd:total:total/spent" && **value > 0.0);
    spent.map(|((owner, _), value)| (owner.clone(), *value as u64)).collect()
}
