<?php

declare(strict_types=1);

namespace Rr\Rpc;

/** How the argument and the result of a call are encoded: the flag of the frame. */
enum Codec: int
{
    case Raw = 0x04;
    case Json = 0x08;
    case Proto = 0x80;
}
