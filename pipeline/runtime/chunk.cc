#include "pipeline/runtime/chunk.h"

#include <utility>

namespace takt {

std::shared_ptr<const MessageBlock> block_of(DeadLetterReplay replay) {
    const auto kept = std::make_shared<const DeadLetterReplay>(std::move(replay));  // by the block
    auto block = std::make_shared<MessageBlock>();
    block->messages.push_back({kept->data, kept->subject, kept->sequence, kept->ingest_time});
    block->keep = kept;
    block->size_bytes = kept->data.size();
    block->single = true;
    return block;
}

std::shared_ptr<const MessageBlock> block_of(std::vector<InputRecord> records) {
    const auto kept = std::make_shared<const std::vector<InputRecord>>(std::move(records));  // by the block
    auto block = std::make_shared<MessageBlock>();
    for (const InputRecord& record : *kept) {
        block->messages.push_back({record.data, record.subject, record.sequence, record.ingest_time});
        block->size_bytes += record.data.size();
    }
    block->keep = kept;
    return block;
}

}  // namespace takt
