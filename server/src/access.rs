//! Who may ask at all: by address, behind which proxy, and from which page.

pub(crate) mod auto_ban;
pub(crate) mod bans;
pub(crate) mod gate;
pub(crate) mod lists;
pub(crate) mod networks;
pub(crate) mod origin;
pub(crate) mod proxies;
