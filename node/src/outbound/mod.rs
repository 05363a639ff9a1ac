//! Towards hosts that the configuration names: one request at a time, to an address that was judged.
//!
//! A name belongs to whoever runs its zone. It is resolved once, each address is judged ([`reach`]), and the connection
//! goes to one that passed. Redirects are answers like any other: nobody is sent elsewhere.

mod client;
mod reach;
mod target;
mod tls;

pub(crate) use self::{
    client::{Answer, Client, ClientError, Limits},
    target::{path_and_query, segment},
    tls::{TlsError, connector, server_name},
};
