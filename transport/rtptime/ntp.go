package rtptime

import "time"

// eraOffset is the number of seconds from the NTP epoch, 1 January 1900, to the
// Unix epoch (RFC 3550, section 4; RFC 5905, section 6).
const eraOffset = 2208988800

// NTP answers t as the 64-bit NTP timestamp of a sender report: seconds since
// 1900 in the upper half, the fraction of a second in units of 1/2^32 s in the
// lower (RFC 3550, section 4). The seconds wrap in 2036.
func NTP(t time.Time) uint64 {
	sec := uint64(t.Unix() + eraOffset)
	frac := (uint64(t.Nanosecond())<<32 + uint64(time.Second)/2) / uint64(time.Second)
	// The largest fraction rounds to at most 1<<32 - 4, so it never carries.
	return sec<<32 | frac
}

// Time answers the moment that the NTP timestamp names. Where its top bit is
// clear it lies in the era that begins on 7 February 2036 (RFC 4330, section 3).
func Time(ntp uint64) time.Time {
	sec := int64(ntp >> 32)
	if ntp>>63 == 0 {
		sec += 1 << 32
	}
	nano := (ntp&0xffffffff*uint64(time.Second) + 1<<31) >> 32
	return time.Unix(sec-eraOffset, int64(nano)).UTC()
}

// MiddleNTP answers the middle 32 bits of an NTP timestamp, as the LSR field of
// a report block carries them (RFC 3550, section 6.4.1).
func MiddleNTP(ntp uint64) uint32 { return uint32(ntp >> 16) }

// FromMiddle answers the time span that a count of 1/65536 s stands for, the
// unit of the DLSR field (RFC 3550, section 6.4.1).
func FromMiddle(units uint32) time.Duration {
	return time.Duration(uint64(units) * uint64(time.Second) >> 16)
}

// ToMiddle answers d in units of 1/65536 s, at least 0 and at most what the
// DLSR field holds.
func ToMiddle(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	if d >= 65536*time.Second {
		return 1<<32 - 1
	}
	return uint32(uint64(d) << 16 / uint64(time.Second))
}
