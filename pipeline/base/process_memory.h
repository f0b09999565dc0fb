#pragma once

namespace takt {

/// Lets the allocator keep what was freed, and take from the system in large steps: state that grows and batches that
/// come and go then cost no page faults. Of glibc's allocator; nothing elsewhere. Once, at the start of a program.
void keep_freed_memory();

/// Gives it back all the same where it has become much: the process has half as much again as is in use, or 512 MB
/// more. Each burst leaves free memory in pieces that nothing fits into. Takes up to some hundred milliseconds, in
/// which other threads may wait for memory. Any thread.
void give_back_much_freed_memory();

}  // namespace takt
