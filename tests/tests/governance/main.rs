//! A coalition's offices as people hold them: root holders, admins and the registrar on machines of their own, files
//! between them, and running nodes that follow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod amendments;
mod ceremonies;
mod charter;
mod decisions;
mod desk;
mod evidence;
mod folder;
mod lists;
mod notices;
mod pages;
mod refusals;
mod rules;
mod told;
mod waiting;
