#ifndef TUTTI_VPX_SHIM_H
#define TUTTI_VPX_SHIM_H

#include <stddef.h>
#include <stdint.h>

// Answers of the functions below, beside 0.
enum {
  TUTTI_VPX_CORRUPT = 1,  // the frame is damaged
  TUTTI_VPX_NO_PICTURE,   // decoded, but nothing is to be shown
  TUTTI_VPX_SURPRISE,     // the picture has not the size its header declared
  TUTTI_VPX_FAILED,       // the library failed
};

// A picture's part and what it is drawn onto, in pixels. The destination's
// planes begin at its rectangle already.
typedef struct {
  int width, height;             // the size that the picture must have
  int x, y, w, h;                // the part of it that is drawn
  int dst_w, dst_h;              // the size that the part is drawn at
  int stride_y, stride_c;        // of the destination
} tutti_vpx_view;

typedef struct tutti_vpx_decoder tutti_vpx_decoder;

const char *tutti_vpx_version(void);

// Answers NULL when there is no memory.
tutti_vpx_decoder *tutti_vpx_decoder_new(int threads);
void tutti_vpx_decoder_free(tutti_vpx_decoder *d);
// Decodes one frame and forgets the picture before it. Where y is not NULL the
// picture is drawn as well; the view counts for nothing otherwise.
int tutti_vpx_decode(tutti_vpx_decoder *d, const uint8_t *data, size_t size,
                     uint8_t *y, uint8_t *u, uint8_t *v, tutti_vpx_view view);
// Draws the last picture.
int tutti_vpx_draw(tutti_vpx_decoder *d, uint8_t *y, uint8_t *u, uint8_t *v,
                   tutti_vpx_view view);

// What an encoder is told; the units are libvpx's.
typedef struct {
  int width, height, threads, speed;
  int kbps, max_intra_pct, fps;
} tutti_vpx_config;

// The access unit that the last call made; data is NULL where the frame was
// dropped, and lives until the next call.
typedef struct {
  const uint8_t *data;
  size_t size;
  int key;
} tutti_vpx_packet;

typedef struct tutti_vpx_encoder tutti_vpx_encoder;

// Answers NULL when the library refuses the configuration or has no memory.
tutti_vpx_encoder *tutti_vpx_encoder_new(tutti_vpx_config c);
void tutti_vpx_encoder_free(tutti_vpx_encoder *e);
int tutti_vpx_encoder_rate(tutti_vpx_encoder *e, int kbps, int max_intra_pct);
// Hands one picture to the encoder's thread and returns at once; pts and
// duration count 1/90000 s. The planes are read until tutti_vpx_encoder_wait
// has returned, and not kept.
void tutti_vpx_encoder_start(tutti_vpx_encoder *e, const uint8_t *y,
                             const uint8_t *u, const uint8_t *v, int stride_y,
                             int stride_c, int64_t pts, unsigned long duration,
                             int key);
// Waits for what was started and answers what became of it.
int tutti_vpx_encoder_wait(tutti_vpx_encoder *e);
// An eventfd(2), not blocking, that becomes readable when what was started is
// done; whoever asks for it closes it, after the encoder was freed.
int tutti_vpx_encoder_event(const tutti_vpx_encoder *e);
const tutti_vpx_packet *tutti_vpx_encoder_packet(const tutti_vpx_encoder *e);

#endif
