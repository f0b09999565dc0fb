#pragma once

namespace takt {

/// Lets the allocator keep what was freed, and take from the system in large steps: state that grows and batches that
/// come and go then cost no page faults. Of glibc's allocator; nothing elsewhere. Once, at the start of a program.
void keep_freed_memory();

}  // namespace takt
