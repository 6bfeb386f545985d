#ifndef TUTTI_OPUS_SHIM_H
#define TUTTI_OPUS_SHIM_H

// The controls that the Go binding lacks. The pointers are an OpusEncoder or
// an OpusDecoder; a negative answer is an error of libopus.

int tutti_opus_get_bitrate(void *encoder);
// From the next packet on, 1 predicts nothing from the packets before.
int tutti_opus_set_independent(void *encoder, int on);
int tutti_opus_decoder_rate(void *decoder);
int tutti_opus_decoder_reset(void *decoder);

#endif
